package transaction

import (
	"context"
	"errors"
	"fmt"

	"github.com/wadi-io/wadi/metastore"
)

// What a request is refused with. The broker's table turns them into Kafka's codes.
var (
	ErrUnknownID      = errors.New("the transactional id is unknown, or has another producer id")
	ErrFenced         = errors.New("not the producer's epoch")
	ErrConcurrent     = errors.New("the transaction before is still being ended")
	ErrInvalidState   = errors.New("the transaction is in no state for it")
	ErrNotAdded       = errors.New("it was not added to the producer's transaction")
	ErrInvalidTimeout = errors.New("the transaction's time-out is not within 1 and transaction.max.timeout.ms")
	ErrNotFound       = errors.New("there is no such transactional id")
	ErrTooLarge       = errors.New("the transaction would have too many partitions or groups")
	// ErrNotCoordinator: another agent coordinates the id, or this one's term ends.
	ErrNotCoordinator = errors.New("not the transactional id's coordinator")
	// ErrNotAvailable: try again; what was asked for may have been done.
	ErrNotAvailable = errors.New("the coordinator is not available")

	// errNeedsID: it can be done with a producer id that nobody has.
	errNeedsID = errors.New("a new producer id is needed")
)

// unavailable says why reading or appending came to nothing, in the words of a coordinator.
func unavailable(err error) error {
	if errors.Is(err, metastore.ErrTermEnded) || errors.Is(err, metastore.ErrStopped) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", ErrNotCoordinator, err)
	}
	return fmt.Errorf("%w: %w", ErrNotAvailable, err)
}
