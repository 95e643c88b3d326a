package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/wadi-io/wadi/agent/fetch"
	"github.com/wadi-io/wadi/agent/group"
	"github.com/wadi-io/wadi/agent/ingest"
	"github.com/wadi-io/wadi/agent/transaction"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire"
	"github.com/wadi-io/wadi/wire/batch"
)

// What only this package refuses for.
var (
	// errBusy: other agents kept changing the catalog; nothing was appended.
	errBusy = errors.New("other agents kept changing the catalog")
	// errUnconfirmed: the catalog could not be read to confirm that a topic is unknown.
	errUnconfirmed = errors.New("the catalog could not be confirmed")
	// errTurn: the time-out passed before the change was begun.
	errTurn = errors.New("the time-out passed while other changes were under way; nothing was changed")
)

// tellFailed logs a change that was refused to its client for a reason that isn't the
// client's. One whose client has gone, or waits no longer, says nothing of this agent.
func (b *Broker) tellFailed(what string, err error) {
	level := metastore.TroubleLevel(err)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		level = slog.LevelDebug
	}
	b.deps.Log.Log(context.Background(), level, what, "err", err)
}

// codes is the one table of Go errors and Kafka's codes. The first line whose
// error is wrapped counts.
var codes = []struct {
	err  error
	code int16
}{
	{batch.ErrMagic, wire.CodeInvalidRecord}, // so for versions ≥ 3 of Produce, which speak of format 2 only
	{batch.ErrCorrupt, wire.CodeCorruptMessage},
	{batch.ErrTimestamp, wire.CodeInvalidTimestamp},
	{batch.ErrTooLarge, wire.CodeMessageTooLarge},
	{batch.ErrInvalid, wire.CodeInvalidRecord},

	{ingest.ErrPartitionClosed, wire.CodeUnknownTopicOrPartition},
	{ingest.ErrStaleEpoch, wire.CodeInvalidProducerEpoch},
	{ingest.ErrDuplicate, wire.CodeDuplicateSequenceNumber},
	{ingest.ErrOutOfOrder, wire.CodeOutOfOrderSequenceNumber},
	{ingest.ErrStorage, wire.CodeKafkaStorageError},

	{fetch.ErrSessionNotFound, wire.CodeFetchSessionIDNotFound},
	{fetch.ErrSessionEpoch, wire.CodeInvalidFetchSessionEpoch},
	{fetch.ErrSessionTopicIDs, wire.CodeFetchSessionTopicIDError},
	{fetch.ErrUnknownTopicID, wire.CodeUnknownTopicID},
	{fetch.ErrUnknownPartition, wire.CodeUnknownTopicOrPartition},
	{fetch.ErrOffsetOutOfRange, wire.CodeOffsetOutOfRange},
	{fetch.ErrFencedLeaderEpoch, wire.CodeFencedLeaderEpoch},
	{fetch.ErrUnknownLeaderEpoch, wire.CodeUnknownLeaderEpoch},
	{fetch.ErrStale, wire.CodeNotLeaderOrFollower},
	{fetch.ErrCorrupt, wire.CodeCorruptMessage},
	{fetch.ErrStorage, wire.CodeKafkaStorageError},

	{group.ErrInvalidGroupID, wire.CodeInvalidGroupID},
	{group.ErrInvalidSession, wire.CodeInvalidSessionTimeout},
	{group.ErrUnknownMember, wire.CodeUnknownMemberID},
	{group.ErrMemberIDRequired, wire.CodeMemberIDRequired},
	{group.ErrFencedInstance, wire.CodeFencedInstanceID},
	{group.ErrIllegalGeneration, wire.CodeIllegalGeneration},
	{group.ErrInconsistentProtocol, wire.CodeInconsistentGroupProtocol},
	{group.ErrRebalanceInProgress, wire.CodeRebalanceInProgress},
	{group.ErrGroupMaxSize, wire.CodeGroupMaxSizeReached},
	{group.ErrNonEmpty, wire.CodeNonEmptyGroup},
	{group.ErrNotFound, wire.CodeGroupIDNotFound},
	{group.ErrSubscribed, wire.CodeGroupSubscribedToTopic},
	{group.ErrFencedMemberEpoch, wire.CodeFencedMemberEpoch},
	{group.ErrStaleMemberEpoch, wire.CodeStaleMemberEpoch},
	{group.ErrUnreleasedInstance, wire.CodeUnreleasedInstanceID},
	{group.ErrInvalidRegex, wire.CodeInvalidRegularExpression},
	{group.ErrUnsupportedAssignor, wire.CodeUnsupportedAssignor},
	{group.ErrOtherProtocol, wire.CodeUnknownMemberID}, // so for who isn't a member by its protocol
	{group.ErrNotCoordinator, wire.CodeNotCoordinator},
	{group.ErrNotAvailable, wire.CodeCoordinatorNotAvailable},
	{group.ErrTooLarge, wire.CodeUnknownServerError},

	{group.ErrTransactionEnded, wire.CodeInvalidTxnState},

	{transaction.ErrUnknownID, wire.CodeInvalidProducerIDMapping},
	{transaction.ErrFenced, wire.CodeProducerFenced},
	{transaction.ErrConcurrent, wire.CodeConcurrentTransactions},
	{transaction.ErrInvalidState, wire.CodeInvalidTxnState},
	{transaction.ErrNotAdded, wire.CodeTransactionAbortable},
	{transaction.ErrTooLarge, wire.CodeInvalidTxnState},
	{transaction.ErrInvalidTimeout, wire.CodeInvalidTransactionTimeout},
	{transaction.ErrNotFound, wire.CodeTransactionalIDNotFound},
	{transaction.ErrNotCoordinator, wire.CodeNotCoordinator},
	{transaction.ErrNotAvailable, wire.CodeCoordinatorNotAvailable},

	{ingest.ErrTransactionEnded, wire.CodeInvalidTxnState},
	{ingest.ErrTransactionOpen, wire.CodeInvalidTxnState},
	{errBusy, wire.CodeRequestTimedOut},
	{errTurn, wire.CodeRequestTimedOut},
	{errUnconfirmed, wire.CodeNotLeaderOrFollower},
	{metastore.ErrTermEnded, wire.CodeNotController}, // nothing was appended; another agent, or the next term, takes it
	{metastore.ErrUnknown, wire.CodeRequestTimedOut}, // Kafka's word for an unknown fate
	{metastore.ErrStopped, wire.CodeKafkaStorageError},

	{context.DeadlineExceeded, wire.CodeRequestTimedOut},
	{context.Canceled, wire.CodeRequestTimedOut},
}

// refusal is an error that has its Kafka code and words already: what a handler
// refuses by Kafka's own rules.
type refusal struct {
	code    int16
	message string
}

func (e *refusal) Error() string { return e.message }

func refuse(code int16, format string, args ...any) error {
	return &refusal{code: code, message: fmt.Sprintf(format, args...)}
}

// codeOf returns Kafka's code of an error; none for nil.
func codeOf(err error) int16 {
	if err == nil {
		return wire.CodeNone
	}
	var r *refusal
	if errors.As(err, &r) {
		return r.code
	}
	for i := range codes {
		if errors.Is(err, codes[i].err) {
			return codes[i].code
		}
	}
	return wire.CodeUnknownServerError
}

// messageBytesMax bounds an answer's message, in bytes: what it quotes may be as long as the
// longest string that the older versions of the protocol can hold.
const messageBytesMax = 8 << 10

// messageOf returns the message that goes with codeOf, nil for nil and where there is none.
func messageOf(err error) *string {
	if err == nil {
		return nil
	}
	message := err.Error()
	if len(message) > messageBytesMax {
		message = strings.ToValidUTF8(message[:messageBytesMax], "") + "…"
	}
	if message == "" {
		return nil // Kafka says nothing more than the code here
	}
	return &message
}
