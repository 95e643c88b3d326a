package workload

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// scrape is what an agent's metrics say, by name and labels as they are printed.
type scrape map[string]float64

// scrapeOf reads an agent's metrics.
func scrapeOf(ctx context.Context, address string) (scrape, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, errors.New(answer.Status)
	}
	s := scrape{}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		name, text, ok := strings.Cut(lines.Text(), " ")
		if !ok || !strings.HasPrefix(name, "wadi_") && !strings.HasPrefix(name, "go_memstats_") {
			continue
		}
		if s[name], err = strconv.ParseFloat(text, 64); err != nil {
			return nil, fmt.Errorf("metrics: %q", lines.Text())
		}
	}
	return s, nil
}

// since is what was added between two looks.
func (s scrape) since(before scrape) scrape {
	d := scrape{}
	for name, v := range s {
		d[name] = v - before[name]
	}
	return d
}

// sum adds up all that begins so.
func (s scrape) sum(prefix string) (sum float64) {
	for name, v := range s {
		if strings.HasPrefix(name, prefix) {
			sum += v
		}
	}
	return sum
}

// quantile reads a histogram of one label as Prometheus does: in a straight line within a bucket.
func (s scrape) quantile(name, label string, q float64) float64 {
	type bucket struct{ to, count float64 }
	var all []bucket
	prefix := name + "_bucket{" + label + `,le="`
	for key, count := range s {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		to, err := strconv.ParseFloat(strings.TrimSuffix(rest, `"}`), 64)
		if err == nil {
			all = append(all, bucket{to, count})
		}
	}
	slices.SortFunc(all, func(a, b bucket) int {
		if a.to < b.to {
			return -1
		}
		return 1
	})
	if len(all) == 0 {
		return 0
	}
	rank := q * all[len(all)-1].count
	var from bucket
	for _, b := range all {
		if b.count >= rank && b.count > from.count {
			return from.to + (b.to-from.to)*(rank-from.count)/(b.count-from.count)
		}
		from = b
	}
	return 0
}
