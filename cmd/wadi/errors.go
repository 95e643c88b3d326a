package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/urfave/cli/v2"
)

// usageError is a command line that makes no sense: exit code 2.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return usageError{fmt.Sprintf(format, args...)}
}

// sentence is an error as a person reads it.
func sentence(err error) string {
	var text string
	var kafka *kerr.Error
	switch {
	case errors.As(err, &kafka):
		// What was attempted stands before Kafka's own NAME: description.
		text = strings.Replace(err.Error(), kafka.Error(), kafkaWords(kafka), 1)
	case errors.Is(err, syscall.EADDRINUSE):
		text = err.Error()
		var listen *net.OpError
		if errors.As(err, &listen) {
			text = strings.Replace(text, listen.Error(), "another process listens there; stop it, or choose another address", 1)
		}
	case errors.Is(err, syscall.ENOSPC):
		text = err.Error() + ": the disk is full"
	case errors.Is(err, context.DeadlineExceeded):
		text = strings.Replace(err.Error(), context.DeadlineExceeded.Error(), "no answer in time", 1)
	default:
		text = err.Error()
	}
	text = strings.Join(strings.Fields(text), " ")
	last, _ := utf8.DecodeLastRuneInString(text)
	if unicode.IsLetter(last) || unicode.IsDigit(last) || strings.ContainsRune(`")]'`, last) {
		text += "."
	}
	return text
}

// kafkaWords says an error code in words; the name stays for who looks it up.
func kafkaWords(e *kerr.Error) string {
	words, ok := map[int16]string{
		kerr.UnknownTopicOrPartition.Code: "there is no such topic or partition",
		kerr.UnknownTopicID.Code:          "there is no such topic any more",
		kerr.TopicAlreadyExists.Code:      "there is a topic of that name already",
		kerr.InvalidTopicException.Code:   "that is not a name for a topic (letters, digits, '.', '_', '-'; at most 249)",
		kerr.MessageTooLarge.Code:         "a batch is larger than the topic's max.message.bytes",
		kerr.InvalidPartitions.Code:       "that is not a number of partitions",
		kerr.OffsetOutOfRange.Code:        "there is no record at that offset",
	}[e.Code]
	if !ok {
		words = strings.TrimSuffix(e.Description, ".")
		if words == "" {
			return e.Message
		}
	}
	return words + " (" + e.Message + ")"
}

// argumentCount refuses a command line with fewer or more arguments; most < 0
// is no bound.
func argumentCount(ctx *cli.Context, least, most int) error {
	n := ctx.Args().Len()
	switch {
	case n < least:
		return usagef("%s needs %s; see %s --help", ctx.Command.HelpName, ctx.Command.ArgsUsage, ctx.Command.HelpName)
	case most >= 0 && n > most:
		return usagef("%s takes no argument %q; see %s --help", ctx.Command.HelpName, ctx.Args().Get(most), ctx.Command.HelpName)
	}
	return nil
}
