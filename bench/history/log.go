package history

import "slices"

// log is what is known of one key.
type log struct {
	key    string
	number map[string]int32 // of a value
	values []value
	sent   []int32         // values in the order in which they were sent
	at     map[int64]int32 // which value was seen at an offset first
	holes  []hole
	leaps  []leap
	twice  map[int32]places        // values that were read at two offsets
	odd    map[int64]map[int32]int // offsets with several values: line that showed each
}

// value is one message: about 100 bytes with its text and its number.
type value struct {
	text      string
	op        int32 // that sent it; -1: none
	completed bool  // the operation's completion named it
	own       bool  // its own transaction read it
	acked     int64 // offset that its sender was told; -1: none
	read      int64 // offset at which it was read first; -1: never
	firstRead int   // line of that
}

// placesMax bounds the offsets that are kept of one value.
const placesMax = 8

// places are offsets and the lines that show them.
type places struct {
	offsets []int64
	lines   []int
}

type hole struct {
	first, last int64
	why         Why
}

// leap is a poll that went on further up than where the poll before it ended.
type leap struct {
	first, last int64 // what it left out
	process     *process
	line        int
	internal    bool
}

func newLog(key string) *log {
	return &log{key: key, number: map[string]int32{}, at: map[int64]int32{}, twice: map[int32]places{}, odd: map[int64]map[int32]int{}}
}

func (l *log) intern(text string) int32 {
	n, ok := l.number[text]
	if !ok {
		n = int32(len(l.values))
		l.number[text] = n
		l.values = append(l.values, value{text: text, op: -1, acked: -1, read: -1})
	}
	return n
}

// moved notes that value n was read at another offset than before.
func (l *log) moved(n int32, offset int64, line int) {
	p := l.twice[n]
	if p.offsets == nil {
		p = places{[]int64{l.values[n].read}, []int{l.values[n].firstRead}}
	}
	if len(p.offsets) >= placesMax || slices.Contains(p.offsets, offset) {
		return
	}
	l.twice[n] = places{append(p.offsets, offset), append(p.lines, line)}
}

// disagreed notes that b was seen at an offset where a was.
func (l *log) disagreed(offset int64, a, b int32, line int) {
	values := l.odd[offset]
	if values == nil {
		values = map[int32]int{a: l.values[a].firstRead}
		l.odd[offset] = values
	}
	if _, ok := values[b]; !ok {
		values[b] = line
	}
}

// offset is where a value stands as far as is known; -1: not known.
func (v *value) offset() int64 {
	if v.read >= 0 {
		return v.read
	}
	return v.acked
}
