//go:build !faketime

package bucket

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// s3Upload is a multipart upload.
type s3Upload struct {
	bucket *s3Bucket
	key    string
	id     *string
	parts  []types.CompletedPart
}

func (b *s3Bucket) begin(ctx context.Context, key string) (Upload, error) {
	if err := ready(ctx, key); err != nil {
		return nil, err
	}
	out, err := b.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &b.name, Key: &key, ContentType: aws.String(objectType), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c,
		ServerSideEncryption: b.encryption, SSEKMSKeyId: b.kmsKey,
	})
	if err != nil {
		return nil, wrapS3(ctx, OpPut, key, err) // begun all the same, maybe: nobody sees it
	}
	return &s3Upload{bucket: b, key: key, id: out.UploadId}, nil
}

// Part may be repeated: the number is the same until one has succeeded.
func (u *s3Upload) Part(ctx context.Context, body []byte) error {
	number, sum := aws.Int32(int32(len(u.parts)+1)), aws.String(textCRC32C(crc32.Checksum(body, castagnoli)))
	out, err := u.bucket.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &u.bucket.name, Key: &u.key, UploadId: u.id, PartNumber: number,
		Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body))), ChecksumCRC32C: sum,
	})
	if err != nil {
		return wrapS3(ctx, OpPut, u.key, err)
	}
	u.parts = append(u.parts, types.CompletedPart{ETag: out.ETag, PartNumber: number, ChecksumCRC32C: sum})
	return nil
}

func (u *s3Upload) Commit(ctx context.Context) error {
	_, err := u.bucket.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &u.bucket.name, Key: &u.key, UploadId: u.id, IfNoneMatch: aws.String("*"),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
	})
	if err == nil {
		return nil
	}
	if hasEnded(err) {
		return fmt.Errorf("put %s: the upload has ended already: %w", u.key, ErrExists) // by a Commit whose answer was lost
	}
	return wrapS3(ctx, OpPut, u.key, err)
}

// hasEnded tells whether a request was refused since its upload had been committed or aborted.
func hasEnded(err error) bool {
	status, _ := s3Status(err)
	code, _ := s3Code(err)
	return status == http.StatusNotFound && code == "NoSuchUpload"
}

func (u *s3Upload) Abort(ctx context.Context) error {
	_, err := u.bucket.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &u.bucket.name, Key: &u.key, UploadId: u.id})
	if err != nil && hasEnded(err) {
		return nil
	}
	return wrapS3(ctx, OpDelete, u.key, err)
}

func (b *s3Bucket) unfinished(ctx context.Context, prefix string) ([]Unfinished, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	var found []Unfinished
	in := &s3.ListMultipartUploadsInput{Bucket: &b.name, Prefix: &prefix, MaxUploads: aws.Int32(ListMax)}
	for {
		out, err := b.client.ListMultipartUploads(ctx, in)
		if err != nil {
			return nil, wrapS3(ctx, OpList, prefix, err)
		}
		for _, u := range out.Uploads {
			found = append(found, Unfinished{Key: aws.ToString(u.Key), ID: aws.ToString(u.UploadId), Begun: aws.ToTime(u.Initiated)})
		}
		if !aws.ToBool(out.IsTruncated) || len(found) >= ListMax || len(out.Uploads) == 0 {
			return found[:min(len(found), ListMax)], nil
		}
		in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
	}
}

func (b *s3Bucket) end(ctx context.Context, u Unfinished) error {
	return (&s3Upload{bucket: b, key: u.Key, id: &u.ID}).Abort(ctx)
}
