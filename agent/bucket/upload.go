package bucket

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"gocloud.dev/blob"
)

// PartBytesMin is the least size of an upload's parts but the last, in bytes: S3's limit.
const PartBytesMin = 5 << 20

// errUpload says that an upload is lost: only a new one can help.
var errUpload = errors.New("the upload is broken")

// Upload is an object that is put in parts, so that nobody holds all of it. One goroutine uses it, and ends it
// by Commit or Abort. Nobody sees anything of it before Commit.
type Upload interface {
	// Part appends bytes, PartBytesMin at least but for the last. body is not kept.
	Part(ctx context.Context, body []byte) error
	// Commit makes the object durable. ErrExists if the key is taken, by this very upload maybe,
	// if an answer was lost: who used the key for nothing else compares. Any other error leaves the outcome unknown.
	Commit(ctx context.Context) error
	// Abort drops what was not committed. What a crash leaves of an upload to S3 stays, unseen, until ListUnfinished
	// finds it and End ends it, or a lifecycle rule of the bucket does (AbortIncompleteMultipartUpload).
	Abort(ctx context.Context) error
}

// uploader is a Bucket that takes objects in parts.
type uploader interface {
	begin(ctx context.Context, key string) (Upload, error)
}

// Begin begins to put an object in parts. A bucket that takes none gets the whole of it at Commit.
func Begin(ctx context.Context, b Bucket, key string) (Upload, error) {
	if u, ok := b.(uploader); ok {
		return u.begin(ctx, key)
	}
	return &gathered{bucket: b, key: key}, nil
}

// gathered is an upload to a bucket that takes no parts.
type gathered struct {
	bucket Bucket
	key    string
	body   []byte
}

func (g *gathered) Part(ctx context.Context, body []byte) error {
	g.body = append(g.body, body...)
	return ctx.Err()
}

func (g *gathered) Commit(ctx context.Context) error { return g.bucket.Put(ctx, g.key, g.body) }
func (g *gathered) Abort(context.Context) error      { return nil }

// folderUpload is a temporary file.
type folderUpload struct {
	folder *folder
	key    string
	name   string
	file   *os.File
}

func (f *folder) begin(ctx context.Context, key string) (Upload, error) {
	if err := f.ready(ctx, key); err != nil {
		return nil, err
	}
	name := f.tmp.name(f.next.Add(1))
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, fmt.Errorf("put %s: %w", key, writeInWords(err))
	}
	return &folderUpload{f, key, name, file}, nil
}

func (u *folderUpload) Part(ctx context.Context, body []byte) error {
	if err := u.folder.writeTo(ctx, u.file, body); err != nil { // how much of it was written isn't known
		return fmt.Errorf("put %s: %w: %w", u.key, errUpload, writeInWords(err))
	}
	return nil
}

func (u *folderUpload) Commit(ctx context.Context) error {
	// The kernel may report such a failure once and forget it: another sync would say that all is well.
	if err := u.folder.fs.sync(u.file); err != nil {
		return fmt.Errorf("put %s: %w: %w", u.key, errUpload, writeInWords(err))
	}
	if err := u.folder.name(u.name, u.key); err != nil {
		return fmt.Errorf("put %s: %w", u.key, writeInWords(err))
	}
	u.Abort(ctx) // its other name
	return nil
}

func (u *folderUpload) Abort(context.Context) error {
	return errors.Join(u.file.Close(), os.Remove(u.name))
}

// gocloudUpload is a writer, which repeats by itself what it can.
type gocloudUpload struct {
	key    string
	writer *blob.Writer
	cancel context.CancelFunc
}

func (g *gocloud) begin(ctx context.Context, key string) (Upload, error) {
	if err := ready(ctx, key); err != nil {
		return nil, err
	}
	// It outlives the request that begins it.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w, err := g.bucket.NewWriter(ctx, key, &blob.WriterOptions{
		IfNotExist: true, ContentType: objectType, DisableContentTypeDetection: true, BufferSize: PartBytesMin, MaxConcurrency: 1,
	})
	if err != nil {
		cancel()
		return nil, wrapGocloud(ctx, OpPut, key, err)
	}
	return &gocloudUpload{key, w, cancel}, nil
}

func (u *gocloudUpload) Part(ctx context.Context, body []byte) error {
	stop := context.AfterFunc(ctx, u.cancel)
	defer stop()
	if _, err := u.writer.Write(body); err != nil {
		return fmt.Errorf("%w: %w", errUpload, wrapGocloud(ctx, OpPut, u.key, err))
	}
	return nil
}

func (u *gocloudUpload) Commit(ctx context.Context) error {
	stop := context.AfterFunc(ctx, u.cancel)
	defer stop()
	defer u.cancel()
	err := wrapGocloud(ctx, OpPut, u.key, u.writer.Close())
	if err != nil && !errors.Is(err, ErrExists) {
		return fmt.Errorf("%w: %w", errUpload, err)
	}
	return err
}

func (u *gocloudUpload) Abort(context.Context) error {
	u.cancel()
	u.writer.Close() // fails: that is what cancelling is for
	return nil
}

// retryUpload repeats the steps of an upload.
type retryUpload struct {
	Upload
	retry *retry
}

func (r *retry) begin(ctx context.Context, key string) (Upload, error) {
	var u Upload
	err := r.do(ctx, OpPut, 0, func(ctx context.Context) (err error) {
		u, err = Begin(ctx, r.bucket, key)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &retryUpload{u, r}, nil
}

func (u *retryUpload) Part(ctx context.Context, body []byte) error {
	return u.retry.do(ctx, OpPut, int64(len(body)), func(ctx context.Context) error { return u.Upload.Part(ctx, body) })
}

func (u *retryUpload) Commit(ctx context.Context) error {
	return u.retry.do(ctx, OpPut, u.retry.cfg.UnknownBytes, u.Upload.Commit)
}

func (h *hedge) begin(ctx context.Context, key string) (Upload, error) {
	return Begin(ctx, h.Bucket, key)
}

func (c *Counter) begin(ctx context.Context, key string) (Upload, error) {
	return Begin(ctx, c.Bucket, key)
}

// observedUpload tells each step as a put: that is what it costs.
type observedUpload struct {
	Upload
	observed *observed
	key      string
}

func (o *observed) begin(ctx context.Context, key string) (Upload, error) {
	b, ok := o.bucket.(uploader)
	if !ok { // one put, told by Put
		return &gathered{bucket: o, key: key}, nil
	}
	begin := time.Now()
	u, err := b.begin(ctx, key)
	o.tell(OpPut, key, begin, 0, err)
	if err != nil {
		return nil, err
	}
	return &observedUpload{u, o, key}, nil
}

func (u *observedUpload) Part(ctx context.Context, body []byte) error {
	begin := time.Now()
	err := u.Upload.Part(ctx, body)
	u.observed.tell(OpPut, u.key, begin, len(body), err)
	return err
}

func (u *observedUpload) Commit(ctx context.Context) error {
	begin := time.Now()
	err := u.Upload.Commit(ctx)
	u.observed.tell(OpPut, u.key, begin, 0, err)
	return err
}
