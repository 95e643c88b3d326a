package sqlite

import "context"

const claimBucketSQL = `update cluster set bucket = ? where bucket is null and ? <> ''`

const bucketSQL = `select coalesce(bucket, '') from cluster`

// ClaimBucket implements metastore.Store.
func (s *Store) ClaimBucket(ctx context.Context, name string) (noted string, err error) {
	err = s.write(ctx, "claim the bucket", func(tx *writeTx) error {
		if _, err := tx.exec(claimBucketSQL, name, name); err != nil {
			return err
		}
		return tx.row(bucketSQL).Scan(&noted)
	})
	return noted, err
}
