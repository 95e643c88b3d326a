package broker

import (
	"errors"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

// RequestName is Kafka's name of a request key, as in "Produce".
func RequestName(key int16) string { return kmsg.NameForKey(key) }

// CodeName is Kafka's name of an error code, as in "NOT_LEADER_OR_FOLLOWER"; CLOSED where the
// connection was closed instead.
func CodeName(code int16) string {
	switch code {
	case wire.CodeNone:
		return "NONE"
	case outcomeClosed:
		return "CLOSED"
	}
	var err *kerr.Error
	if errors.As(kerr.ErrorForCode(code), &err) {
		return err.Message
	}
	return strconv.Itoa(int(code))
}
