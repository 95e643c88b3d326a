package group

import (
	"context"
	"errors"
	"fmt"

	"github.com/wadi-io/wadi/metastore"
)

// What a request of a group is refused with. The broker's table turns them into Kafka's codes.
var (
	ErrInvalidGroupID       = errors.New("the group's id is empty")
	ErrInvalidSession       = errors.New("the session time-out is not within the limits")
	ErrUnknownMember        = errors.New("the group has no such member")
	ErrMemberIDRequired     = errors.New("the member must join again, with the id that it was given")
	ErrFencedInstance       = errors.New("another member has this group.instance.id")
	ErrIllegalGeneration    = errors.New("not the group's generation")
	ErrInconsistentProtocol = errors.New("the member's protocols don't fit the group's")
	ErrRebalanceInProgress  = errors.New("the group is rebalancing")
	ErrGroupMaxSize         = errors.New("the group is full")
	ErrNonEmpty             = errors.New("the group has members")
	ErrNotFound             = errors.New("there is no such group")
	ErrSubscribed           = errors.New("the group is subscribed to the topic")
	// Of the consumer group protocol.
	ErrFencedMemberEpoch   = errors.New("the member must give up its partitions and join again")
	ErrStaleMemberEpoch    = errors.New("not the member's epoch")
	ErrUnreleasedInstance  = errors.New("a member that has not left has this group.instance.id")
	ErrInvalidRegex        = errors.New("the subscription is not a regular expression")
	ErrUnsupportedAssignor = errors.New("there is no such assignor")
	ErrOtherProtocol       = errors.New("the group's members use the other protocol")
	// errMoved: the group has gone over to the other protocol meanwhile; look it up anew.
	errMoved = errors.New("the group has gone over to the other protocol")
	// ErrNotCoordinator: another coordinator has the group, or this one's term ends.
	ErrNotCoordinator = errors.New("not the group's coordinator")
	// ErrNotAvailable: try again; what was asked for may have been done.
	ErrNotAvailable = errors.New("the coordinator is not available")
	// ErrTooLarge: the generation doesn't fit an entry.
	ErrTooLarge = errors.New("the members' subscriptions and assignments are too large together")
)

// refusal says why an append came to nothing, in the words of a coordinator.
func refusal(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrTooLarge), errors.Is(err, ErrGroupMaxSize), errors.Is(err, ErrNotCoordinator):
		return err
	case errors.Is(err, metastore.ErrTermEnded), errors.Is(err, metastore.ErrStopped), errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: %w", ErrNotCoordinator, err)
	}
	return fmt.Errorf("%w: %w", ErrNotAvailable, err)
}
