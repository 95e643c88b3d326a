package postgres

import "context"

// What another call has noted meanwhile isn't seen by the statement that waited for it.
const claimBucketSQL = `with claimed as (
		update wadi.cluster set bucket = $1 where bucket is null and $1 <> '' returning bucket
	)
	select coalesce((select bucket from claimed), (select bucket from wadi.cluster), '')`

// ClaimBucket implements metastore.Store.
func (s *Store) ClaimBucket(ctx context.Context, name string) (noted string, err error) {
	for range 2 {
		if err := s.pool.QueryRow(ctx, s.sql[claimBucketSQL], name).Scan(&noted); err != nil {
			return "", failed(ctx, s.pool, "claim the bucket", err)
		}
		if noted != "" || name == "" {
			break
		}
	}
	return noted, nil
}
