//go:build !faketime

package bucket

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// s3Bucket is a Bucket in a server that speaks S3's protocol.
//
// A body is read by the socket, and before it for its CRC-32C unless that is known. The checksum
// is a signed header, so the server refuses other bytes, and neither the body's SHA-256 nor a
// trailer in chunks is needed (payload UNSIGNED-PAYLOAD, over plain HTTP too).
// The server's checksum is compared when a whole object is read; servers have none
// of a range, and what reads ranges has checksums of its own.
type s3Bucket struct {
	name       string
	client     *s3.Client
	cold       *s3.Client // the same with its own connections: see Cold
	encryption types.ServerSideEncryption
	kmsKey     *string
	close      func()
}

func (b *s3Bucket) Close() error {
	b.close()
	return nil
}

func (b *s3Bucket) clientFor(ctx context.Context) *s3.Client {
	if isCold(ctx) {
		return b.cold
	}
	return b.client
}

// Put writes an object by one request that succeeds only if the key is free.
// If we die in it, the server keeps the whole object or none.
func (b *s3Bucket) Put(ctx context.Context, key string, body []byte) error {
	if err := ready(ctx, key); err != nil {
		return err
	}
	// Nothing looks at the body once Put has returned, also after a time-out.
	sending, takeBack := withBody(ctx, body)
	defer takeBack()
	_, err := b.client.PutObject(sending, &s3.PutObjectInput{
		Bucket:               &b.name,
		Key:                  &key,
		Body:                 bytes.NewReader(body),
		ContentLength:        aws.Int64(int64(len(body))),
		ContentType:          aws.String(objectType),
		ChecksumCRC32C:       aws.String(textCRC32C(checksumOf(ctx, body))),
		IfNoneMatch:          aws.String("*"),
		ServerSideEncryption: b.encryption,
		SSEKMSKeyId:          b.kmsKey,
	})
	return wrapS3(ctx, OpPut, key, err)
}

// textCRC32C is a CRC-32C as S3 writes it.
func textCRC32C(crc uint32) string {
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], crc)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func (b *s3Bucket) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	out, err := b.get(ctx, key, offset, length)
	if err != nil || out == nil {
		return nil, err
	}
	defer out.Body.Close()
	size := aws.ToInt64(out.ContentLength)
	if length >= 0 && size > length {
		return nil, fmt.Errorf("get %s: the server sends %d bytes where %d were asked for", key, size, length)
	}
	body := make([]byte, size)
	if err := readWhole(out.Body, body); err != nil {
		return nil, wrapS3(ctx, OpGet, key, err)
	}
	if want := aws.ToString(out.ChecksumCRC32C); offset == 0 && length < 0 && out.ChecksumType != types.ChecksumTypeComposite &&
		want != "" && want != textCRC32C(crc32.Checksum(body, castagnoli)) {
		return nil, fmt.Errorf("get %s: the CRC-32C of the %d bytes that came is not what the server says (%s)", key, size, want)
	}
	return body, nil
}

func (b *s3Bucket) GetInto(ctx context.Context, key string, offset int64, dst []byte) (int, error) {
	out, err := b.get(ctx, key, offset, int64(len(dst)))
	if err != nil || out == nil {
		return 0, err
	}
	defer out.Body.Close()
	size := aws.ToInt64(out.ContentLength)
	if size > int64(len(dst)) {
		return 0, fmt.Errorf("get %s: the server sends %d bytes where %d were asked for", key, size, len(dst))
	}
	if err := readWhole(out.Body, dst[:size]); err != nil {
		return 0, wrapS3(ctx, OpGet, key, err)
	}
	return int(size), nil
}

func (b *s3Bucket) scatter(ctx context.Context, key string, offset int64, dsts [][]byte, done Scattered) error {
	room := roomOf(dsts)
	out, err := b.get(ctx, key, offset, room)
	if err != nil {
		return err
	}
	if out == nil {
		nothingOf(dsts, done)
		return nil
	}
	defer out.Body.Close()
	size := aws.ToInt64(out.ContentLength)
	if size > room {
		return fmt.Errorf("get %s: the server sends %d bytes where %d were asked for", key, size, room)
	}
	return wrapS3(ctx, OpGet, key, scatterBody(out.Body, size, dsts, done))
}

// get begins to read. It returns nil where there is an object but nothing to read of it.
func (b *s3Bucket) get(ctx context.Context, key string, offset, length int64) (*s3.GetObjectOutput, error) {
	if err := ready(ctx, key); err != nil {
		return nil, err
	}
	if err := checkRange(key, offset); err != nil {
		return nil, err
	}
	in := &s3.GetObjectInput{Bucket: &b.name, Key: &key}
	switch {
	case length == 0: // No range is empty: one byte tells whether there is an object.
		in.Range = aws.String("bytes=0-0")
	case length > 0:
		last := offset + length - 1
		if last < offset {
			last = 1<<63 - 1
		}
		in.Range = aws.String("bytes=" + strconv.FormatInt(offset, 10) + "-" + strconv.FormatInt(last, 10))
	case offset > 0:
		in.Range = aws.String("bytes=" + strconv.FormatInt(offset, 10) + "-")
	default:
		in.ChecksumMode = types.ChecksumModeEnabled
	}
	out, err := b.clientFor(ctx).GetObject(ctx, in)
	if err != nil {
		if isPastEnd(err) {
			return nil, nil
		}
		return nil, wrapS3(ctx, OpGet, key, err)
	}
	if length == 0 {
		out.Body.Close()
		return nil, nil
	}
	if err := checkSent(in, out, offset, length); err != nil {
		out.Body.Close()
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	return out, nil
}

// checkSent refuses an answer that isn't the range that was asked for: some
// servers and proxies answer with the whole object, and may with less. A range is
// shorter than that only where the object ends: else its end would be taken for the object's.
func checkSent(in *s3.GetObjectInput, out *s3.GetObjectOutput, offset, length int64) error {
	if out.ContentLength == nil || *out.ContentLength < 0 {
		return fmt.Errorf("the server doesn't tell how many bytes it sends")
	}
	if in.Range == nil {
		return nil
	}
	sent := aws.ToString(out.ContentRange)
	rest, ok := strings.CutPrefix(sent, "bytes "+strconv.FormatInt(offset, 10)+"-")
	last, size, _ := strings.Cut(rest, "/")
	if total, err := strconv.ParseInt(size, 10, 64); ok && err == nil { // else it says *
		end := total
		if length > 0 {
			end = offset + min(length, total-offset)
		}
		ok = last == strconv.FormatInt(end-1, 10) && *out.ContentLength == end-offset
	}
	if !ok {
		return fmt.Errorf("the server answers %s with %q, %d bytes", *in.Range, sent, *out.ContentLength)
	}
	return nil
}

func (b *s3Bucket) Delete(ctx context.Context, key string) error {
	if err := ready(ctx, key); err != nil {
		return err
	}
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &key})
	return wrapS3(ctx, OpDelete, key, err)
}

func (b *s3Bucket) List(ctx context.Context, prefix, after string, limit int) ([]Object, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	limit = listLimit(limit)
	in := &s3.ListObjectsV2Input{Bucket: &b.name}
	if prefix != "" {
		in.Prefix = &prefix
	}
	if after != "" {
		in.StartAfter = &after
	}
	var objects []Object
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		in.MaxKeys = aws.Int32(int32(limit - len(objects)))
		out, err := b.client.ListObjectsV2(ctx, in)
		if err != nil {
			return nil, wrapS3(ctx, OpList, prefix, err)
		}
		for _, o := range out.Contents {
			objects = append(objects, Object{Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)})
		}
		if !aws.ToBool(out.IsTruncated) || len(objects) >= limit {
			return objects, nil
		}
		// A page may be short or empty before the end: deleted versions take its place. Only its token leads on from such a one.
		if in.ContinuationToken = out.NextContinuationToken; aws.ToString(in.ContinuationToken) == "" {
			return nil, fmt.Errorf("list %s: the server says that there is more, and not where", prefix)
		}
	}
}
