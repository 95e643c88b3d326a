package segment

import "testing"

func BenchmarkBuilder(b *testing.B) {
	for _, test := range []struct {
		name          string
		batches, size int
	}{{"600x1KiB", 600, 1 << 10}, {"8x1MiB", 8, 1 << 20}, {"600x100B", 600, 100}} {
		b.Run(test.name, func(b *testing.B) {
			data := aBatch(1, string(make([]byte, test.size)))
			dst := make([]byte, 0, SizeHint(test.batches*len(data), test.batches, test.batches, 8))
			var builder Builder
			b.SetBytes(int64(test.batches * len(data)))
			b.ReportAllocs()
			for b.Loop() {
				builder.Begin(dst, full)
				for i := range test.batches {
					builder.Add(i/10, topicA, int32(i), data)
				}
				builder.Finish()
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	var all []added
	for i := range 600 {
		all = append(all, added{i / 10, topicA, int32(i), aBatch(1, "value")})
	}
	body, _ := build(full, all)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(body); err != nil {
			b.Fatal(err)
		}
	}
}
