package buckettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wadi-io/wadi/agent/bucket"
)

// Run checks the buckets that open returns, each new and empty.
func Run(t *testing.T, open func(t *testing.T) bucket.Bucket) {
	RunWithoutParts(t, open)
	t.Run("an object that is put in parts is seen whole, or not at all", func(t *testing.T) { uploads(t, open(t)) })
}

// RunWithoutParts is Run for a server that doesn't take objects in parts.
func RunWithoutParts(t *testing.T, open func(t *testing.T) bucket.Bucket) {
	for _, c := range []struct {
		claim string
		check func(t *testing.T, b bucket.Bucket)
	}{
		{"a put object is read back", roundTrip},
		{"a key is written once", createOnly},
		{"of those who put one key at once, one succeeds", oneWins},
		{"a range is cut at the end", ranges},
		{"slices are filled one after the other", scatters},
		{"what is missing is not found", missing},
		{"a deleted object is gone, and deleting it again is no error", deletes},
		{"a list is sorted by key, whatever the folders", lists},
		{"a list agrees with a naive one", listsAgree},
		{"what is no key is refused", badKeys},
		{"a body may change after it was put", bodyNotKept},
		{"a context that is done ends a request", cancelled},
	} {
		t.Run(c.claim, func(t *testing.T) { c.check(t, open(t)) })
	}
}

// Body returns size bytes that depend on seed.
func Body(seed uint64, size int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(r.Uint32())
	}
	return body
}

func put(t *testing.T, b bucket.Bucket, key string, body []byte) {
	t.Helper()
	if err := b.Put(t.Context(), key, body); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func roundTrip(t *testing.T, b bucket.Bucket) {
	for i, size := range []int{0, 1, 4095, 5 << 20} {
		key := fmt.Sprintf("segments/0000000001/%012d", i)
		want := Body(uint64(i), size)
		put(t, b, key, want)
		got, err := b.Get(t.Context(), key, 0, -1)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("get of %d bytes: %d bytes, %v", size, len(got), err)
		}
		dst := make([]byte, size)
		if n, err := b.GetInto(t.Context(), key, 0, dst); n != size || err != nil || !bytes.Equal(dst, want) {
			t.Errorf("get into %d bytes: %d, %v", size, n, err)
		}
	}
}

func createOnly(t *testing.T, b bucket.Bucket) {
	put(t, b, "a/b", []byte("first"))
	if err := b.Put(t.Context(), "a/b", []byte("second")); !errors.Is(err, bucket.ErrExists) {
		t.Errorf("second put: %v, not ErrExists", err)
	}
	if got, err := b.Get(t.Context(), "a/b", 0, -1); string(got) != "first" || err != nil {
		t.Errorf("get: %q, %v", got, err)
	}
}

func oneWins(t *testing.T, b bucket.Bucket) {
	const writers = 8
	var wins atomic.Int32
	var winner atomic.Pointer[[]byte]
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			body := Body(uint64(i), 64<<10)
			err := b.Put(t.Context(), "contended/key", body)
			switch {
			case err == nil:
				wins.Add(1)
				winner.Store(&body)
			case !errors.Is(err, bucket.ErrExists):
				t.Errorf("put: %v", err)
			}
		})
	}
	wg.Wait()
	if wins.Load() != 1 {
		t.Fatalf("%d puts succeeded", wins.Load())
	}
	if got, err := b.Get(t.Context(), "contended/key", 0, -1); err != nil || !bytes.Equal(got, *winner.Load()) {
		t.Errorf("the object is not the one that was put: %v", err)
	}
}

func ranges(t *testing.T, b bucket.Bucket) {
	put(t, b, "k", []byte("0123456789"))
	for _, c := range []struct {
		offset, length int64
		want           string
	}{
		{0, -1, "0123456789"}, {3, -1, "3456789"}, {0, 0, ""}, {0, 4, "0123"}, {4, 3, "456"},
		{8, 2, "89"}, {8, 5, "89"}, {9, 1 << 40, "9"}, {10, 1, ""}, {10, -1, ""}, {1 << 40, -1, ""}, {1 << 40, 7, ""},
	} {
		got, err := b.Get(t.Context(), "k", c.offset, c.length)
		if err != nil || string(got) != c.want {
			t.Errorf("get(%d, %d) = %q, %v; want %q", c.offset, c.length, got, err, c.want)
		}
		if c.length < 0 || c.length > 100 {
			continue
		}
		dst := make([]byte, c.length)
		n, err := b.GetInto(t.Context(), "k", c.offset, dst)
		if err != nil || string(dst[:n]) != c.want {
			t.Errorf("get into(%d, %d) = %q, %v; want %q", c.offset, c.length, dst[:n], err, c.want)
		}
	}
	if _, err := b.Get(t.Context(), "k", -1, 1); !errors.Is(err, bucket.ErrRange) {
		t.Errorf("get from a negative offset: %v, not ErrRange", err)
	}
}

func scatters(t *testing.T, b bucket.Bucket) {
	want := Body(3, 1<<20)
	put(t, b, "a/b", want)
	for _, row := range []struct {
		offset int
		sizes  []int
	}{{0, []int{1 << 20}}, {0, []int{400_000, 600_000, 48_576}}, {77, []int{1, 100_000, 300_000}}, {1000, []int{500_000, 600_000, 5000, 1}}, {1 << 20, []int{5, 5}}, {2 << 20, []int{5}}} {
		var dsts [][]byte
		for _, size := range row.sizes {
			dsts = append(dsts, make([]byte, size))
		}
		told, at := 0, row.offset
		err := bucket.Scatter(t.Context(), b, "a/b", int64(row.offset), dsts, func(i, n int) {
			from := min(at, len(want))
			if part := want[from:min(from+len(dsts[i]), len(want))]; i != told || n != len(part) || !bytes.Equal(dsts[i][:n], part) {
				t.Errorf("%d bytes at %d: slice %d, the %dth, has %d bytes, or others", len(dsts[i]), at, i, told, n)
			}
			told, at = told+1, at+len(dsts[i])
		})
		if err != nil || told != len(dsts) {
			t.Errorf("%d slices of %d from %d on: %v", told, len(dsts), row.offset, err)
		}
	}
	err := bucket.Scatter(t.Context(), b, "a/c", 0, [][]byte{make([]byte, 1)}, func(int, int) { t.Error("something of nothing") })
	if !errors.Is(err, bucket.ErrNotFound) {
		t.Errorf("of nothing: %v", err)
	}
}

func uploads(t *testing.T, b bucket.Bucket) {
	want := Body(5, 2*bucket.PartBytesMin+1000)
	upload := func(key string, body []byte) bucket.Upload {
		u, err := bucket.Begin(t.Context(), b, key)
		if err != nil {
			t.Fatal(err)
		}
		for part := range slices.Chunk(body, bucket.PartBytesMin) {
			kept := slices.Clone(part)
			if err := u.Part(t.Context(), kept); err != nil {
				t.Fatal(err)
			}
			clear(kept)
		}
		if _, err := b.Get(t.Context(), key, 0, 1); !errors.Is(err, bucket.ErrNotFound) {
			t.Errorf("before the end: %v", err)
		}
		return u
	}
	first, second := upload("a/b", want), upload("a/b", Body(6, 100))
	// Where answers are lost the key may be taken by this very upload: what is there says so.
	if err := first.Commit(t.Context()); err != nil && !errors.Is(err, bucket.ErrExists) {
		t.Fatal(err)
	}
	if err := second.Commit(t.Context()); !errors.Is(err, bucket.ErrExists) {
		t.Errorf("a second commit to a key: %v", err)
	}
	second.Abort(t.Context())
	if got, err := b.Get(t.Context(), "a/b", 0, -1); err != nil || !bytes.Equal(got, want) {
		t.Errorf("get: %d bytes of %d, %v", len(got), len(want), err)
	}
	if err := upload("a/c", want).Abort(t.Context()); err != nil {
		t.Errorf("abort: %v", err)
	}
	if objects, err := b.List(t.Context(), "", "", 0); err != nil || len(objects) != 1 {
		t.Errorf("%d objects, %v", len(objects), err)
	}
}

func missing(t *testing.T, b bucket.Bucket) {
	put(t, b, "folder/object", []byte("x"))
	for _, key := range []string{"nothing", "folder", "folder/other", "folder/object/below"} {
		if _, err := b.Get(t.Context(), key, 0, -1); !errors.Is(err, bucket.ErrNotFound) {
			t.Errorf("get %s: %v, not ErrNotFound", key, err)
		}
		if _, err := b.GetInto(t.Context(), key, 0, make([]byte, 1)); !errors.Is(err, bucket.ErrNotFound) {
			t.Errorf("get into %s: %v, not ErrNotFound", key, err)
		}
		if err := b.Delete(t.Context(), key); err != nil {
			t.Errorf("delete %s: %v", key, err)
		}
	}
	if _, err := b.Get(t.Context(), "folder/object", 0, -1); err != nil {
		t.Errorf("the object beside has gone: %v", err)
	}
}

func deletes(t *testing.T, b bucket.Bucket) {
	put(t, b, "d/1", []byte("x"))
	put(t, b, "d/2", []byte("y"))
	for range 2 {
		if err := b.Delete(t.Context(), "d/1"); err != nil {
			t.Fatalf("delete: %v", err)
		}
	}
	if _, err := b.Get(t.Context(), "d/1", 0, -1); !errors.Is(err, bucket.ErrNotFound) {
		t.Errorf("get after delete: %v", err)
	}
	if objects, err := b.List(t.Context(), "", "", 0); err != nil || len(objects) != 1 || objects[0].Key != "d/2" {
		t.Errorf("list after delete: %v, %v", objects, err)
	}
}

func lists(t *testing.T, b bucket.Bucket) {
	all := []string{"a-b", "a/1", "a/2/3", "a/2/30", "a/20", "a0", "b", "c/d/e/f", "ä"}
	for i, key := range slices.Backward(all) {
		put(t, b, key, make([]byte, i))
	}
	for _, c := range []struct {
		prefix, after string
		limit         int
		want          string
	}{
		{"", "", 0, "a-b a/1 a/2/3 a/2/30 a/20 a0 b c/d/e/f ä"},
		{"", "", 3, "a-b a/1 a/2/3"},
		{"", "a/2/3", 3, "a/2/30 a/20 a0"},
		{"a/", "", 0, "a/1 a/2/3 a/2/30 a/20"},
		{"a/2", "", 0, "a/2/3 a/2/30 a/20"},
		{"a/2", "a/2/30", 0, "a/20"},
		{"a/2", "a/20", 0, ""},
		{"a/2/", "a/1", 0, "a/2/3 a/2/30"},
		{"b", "", 1, "b"},
		{"c/d", "c", 0, "c/d/e/f"},
		{"nothing/", "", 0, ""},
		{"", "zzzz", 0, "ä"},
		{"", "a/2/", 2, "a/2/3 a/2/30"},
	} {
		objects, err := b.List(t.Context(), c.prefix, c.after, c.limit)
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		var keys []string
		for _, o := range objects {
			keys = append(keys, o.Key)
			if o.Size != int64(slices.Index(all, o.Key)) || o.Modified.IsZero() {
				t.Errorf("list tells %+v of %s", o, o.Key)
			}
		}
		if got := strings.Join(keys, " "); got != c.want {
			t.Errorf("list(%q, %q, %d) = %q; want %q", c.prefix, c.after, c.limit, got, c.want)
		}
	}
}

func listsAgree(t *testing.T, b bucket.Bucket) {
	r := rand.New(rand.NewPCG(7, 7))
	var all []string
	for i := range 150 {
		key := fmt.Sprintf("%d/%s%d/%d", r.IntN(3), strings.Repeat("x", r.IntN(3)), r.IntN(10), i)
		all = append(all, key)
		put(t, b, key, nil)
	}
	slices.Sort(all)
	for range 200 {
		from := all[r.IntN(len(all))]
		prefix, after, limit := from[:r.IntN(len(from))], all[r.IntN(len(all))], 1+r.IntN(30)
		after = after[:r.IntN(len(after)+1)]
		var want, got []string
		for _, key := range all {
			if strings.HasPrefix(key, prefix) && key > after && len(want) < limit {
				want = append(want, key)
			}
		}
		objects, err := b.List(t.Context(), prefix, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			got = append(got, o.Key)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("list(%q, %q, %d) = %q; want %q", prefix, after, limit, got, want)
		}
	}
	n := 0
	for _, err := range bucket.All(t.Context(), b, "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != len(all) {
		t.Errorf("All found %d of %d", n, len(all))
	}
}

func badKeys(t *testing.T, b bucket.Bucket) {
	for _, key := range []string{
		"", "/", "/absolute", "a//b", "a/", "..", "../outside", "a/../../outside", "a/./b", ".hidden", "a/.hidden",
		"a\x00b", "a\nb", `a\b`, "a\xffb", strings.Repeat("x", 256), strings.Repeat("x/", 512) + "x",
	} {
		if err := b.Put(t.Context(), key, nil); !errors.Is(err, bucket.ErrKey) {
			t.Errorf("put %q: %v, not ErrKey", key, err)
		}
		if _, err := b.Get(t.Context(), key, 0, -1); !errors.Is(err, bucket.ErrKey) {
			t.Errorf("get %q: %v, not ErrKey", key, err)
		}
		if _, err := b.GetInto(t.Context(), key, 0, nil); !errors.Is(err, bucket.ErrKey) {
			t.Errorf("get into %q: %v, not ErrKey", key, err)
		}
		if err := b.Delete(t.Context(), key); !errors.Is(err, bucket.ErrKey) {
			t.Errorf("delete %q: %v, not ErrKey", key, err)
		}
	}
	for _, prefix := range []string{"/", "..", "../", "a/../", "a//", "a/.", "\x00"} {
		if _, err := b.List(t.Context(), prefix, "", 0); !errors.Is(err, bucket.ErrKey) {
			t.Errorf("list %q: %v, not ErrKey", prefix, err)
		}
	}
}

func bodyNotKept(t *testing.T, b bucket.Bucket) {
	body := []byte("before")
	put(t, b, "k", body)
	copy(body, "after!")
	got, err := b.Get(t.Context(), "k", 0, -1)
	if err != nil || string(got) != "before" {
		t.Fatalf("get: %q, %v", got, err)
	}
	copy(got, "after!")
	if again, _ := b.Get(t.Context(), "k", 0, -1); string(again) != "before" {
		t.Errorf("what was read is the stored object itself")
	}
}

func cancelled(t *testing.T, b bucket.Bucket) {
	put(t, b, "k", []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	errs := map[string]error{
		"put":    b.Put(ctx, "other", []byte("x")),
		"delete": b.Delete(ctx, "k"),
	}
	_, errs["get"] = b.Get(ctx, "k", 0, -1)
	_, errs["get into"] = b.GetInto(ctx, "k", 0, make([]byte, 1))
	_, errs["list"] = b.List(ctx, "", "", 0)
	for op, err := range errs {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", op, err)
		}
	}
	if objects, err := b.List(t.Context(), "", "", 0); err != nil || len(objects) != 1 || objects[0].Key != "k" {
		t.Errorf("list: %v, %v", objects, err)
	}
}
