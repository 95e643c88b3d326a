package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// positionKind is what --from names.
type positionKind int

const (
	fromEarliest positionKind = iota
	fromLatest
	fromOffset // number: an offset
	fromLast   // number: records before the end
	fromTime   // number: milliseconds since 1970
)

// position is where to start in each partition.
type position struct {
	kind   positionKind
	number int64
}

// parsePosition reads --from; a duration is taken back from now.
func parsePosition(text string, now time.Time) (position, error) {
	switch text {
	case "earliest":
		return position{kind: fromEarliest}, nil
	case "latest":
		return position{kind: fromLatest}, nil
	}
	if millis, ok := strings.CutPrefix(text, "@"); ok {
		n, err := strconv.ParseInt(millis, 10, 64)
		if err != nil || n < 0 {
			return position{}, fmt.Errorf("%q is not @milliseconds since 1970", text)
		}
		return position{fromTime, n}, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if n < 0 {
			return position{fromLast, -n}, nil
		}
		return position{fromOffset, n}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return position{fromTime, now.Add(-d).UnixMilli()}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil { // without a zone: UTC
			return position{fromTime, t.UnixMilli()}, nil
		}
	}
	return position{}, fmt.Errorf("%q is not earliest, latest, an offset, -N, a time or a duration", text)
}

// offset is where to start in a partition that has offsets from start up to end;
// since is its first offset at or after the time, where a time was named.
func (p position) offset(start, end, since int64) int64 {
	switch p.kind {
	case fromLatest:
		return end
	case fromOffset:
		return p.number
	case fromLast:
		return end - p.number
	case fromTime:
		return since
	}
	return start
}
