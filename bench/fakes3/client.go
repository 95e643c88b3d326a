package fakes3

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Client speaks to a server as a measurement does.
type Client struct{ Endpoint string } // http://HOST:PORT

// SetWeather changes the latency profile and the share of requests that are refused.
func (c Client) SetWeather(ctx context.Context, profile string, slowDown float64) error {
	q := url.Values{"profile": {profile}, "slowdown": {strconv.FormatFloat(slowDown, 'g', -1, 64)}}
	_, err := c.do(ctx, http.MethodPost, pathWeather+"?"+q.Encode())
	return err
}

// Counters asks what the server was asked so far.
func (c Client) Counters(ctx context.Context) (counters Counters, err error) {
	body, err := c.do(ctx, http.MethodGet, pathCounters)
	if err != nil {
		return counters, err
	}
	return counters, json.Unmarshal(body, &counters)
}

// controlBytesMax bounds an answer.
const controlBytesMax = 64 << 10

func (c Client) do(ctx context.Context, method, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.Endpoint+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, controlBytesMax))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("fake S3: %s: %s", answer.Status, strings.TrimSpace(string(body)))
	}
	return body, err
}

// Draws are n latencies as a server with this profile would have them.
func Draws(p Profile, n int) []time.Duration {
	w := newWeather(1)
	w.set(p, 0)
	draws := make([]time.Duration, n)
	for i := range draws {
		draws[i], _ = w.draw(true)
	}
	return draws
}

// Since is what was asked between two looks.
func (c Counters) Since(before Counters) Counters {
	return Counters{
		Puts: c.Puts - before.Puts, Gets: c.Gets - before.Gets, Heads: c.Heads - before.Heads,
		Deletes: c.Deletes - before.Deletes, Lists: c.Lists - before.Lists,
		BytesIn: c.BytesIn - before.BytesIn, BytesOut: c.BytesOut - before.BytesOut,
		Taken: c.Taken - before.Taken, Refused: c.Refused - before.Refused, DroppedReads: c.DroppedReads - before.DroppedReads,
		PutP50: c.PutP50, PutP99: c.PutP99,
	}
}
