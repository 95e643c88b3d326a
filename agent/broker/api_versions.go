package broker

import (
	"context"
	"regexp"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

// ApiVersions, versions 0–4. (A version beyond is answered by package wire: version 0 with
// UNSUPPORTED_VERSION.)
//
// Answers from the table that dispatches. From version 3 on the client's software
// name and version must have Kafka's form, else INVALID_REQUEST.
//
// What differs from Apache Kafka: no features are supported or finalized yet (epoch
// −1), so clients stay on the classic group protocol and on transaction version 1.

// softwareForm is the form of a client's software name and version (KIP-511).
var softwareForm = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

func (b *Broker) handleAPIVersions(_ context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.ApiVersionsRequest)
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	resp.FinalizedFeaturesEpoch = -1
	if req.Version >= 3 && !(softwareForm.MatchString(req.ClientSoftwareName) && softwareForm.MatchString(req.ClientSoftwareVersion)) {
		resp.ErrorCode = wire.CodeInvalidRequest
		return wire.Answer{Message: resp}
	}
	resp.ApiKeys = wire.APIs(b.Routes())
	return wire.Answer{Message: resp}
}
