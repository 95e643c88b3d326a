package bucket

import "context"

type coldKey struct{}

// Cold marks requests as reads of old records: those of a reader that catches up.
// Buckets that have connections of their own for them (S3) use those.
func Cold(ctx context.Context) context.Context { return context.WithValue(ctx, coldKey{}, true) }

func isCold(ctx context.Context) bool {
	cold, _ := ctx.Value(coldKey{}).(bool)
	return cold
}
