package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wadi-io/wadi/bench/cluster"
)

// vitals are an agent's memory and goroutines.
type vitals struct {
	goroutines, goroutinesMax float64
	resident, residentMax     float64 // bytes
}

const (
	vitalsEvery   = 5 * time.Second
	vitalsTimeout = 2 * time.Second
)

// watchVitals looks at all agents again and again.
func (n *nemesis) watchVitals() {
	tick := time.NewTicker(vitalsEvery)
	defer tick.Stop()
	for {
		select {
		case <-n.ending:
			return
		case <-tick.C:
			n.look()
		}
	}
}

// look notes the agents' memory and goroutines as they are now.
func (r *run) look() {
	for _, a := range r.cluster.Agents {
		seen, err := scrape(a)
		if err != nil {
			continue // It is down, or paused.
		}
		r.mu.Lock()
		if r.mu.vitals == nil {
			r.mu.vitals = map[string]*vitals{}
		}
		v := r.mu.vitals[a.Name]
		if v == nil {
			v = &vitals{}
			r.mu.vitals[a.Name] = v
		}
		v.goroutines, v.resident = seen["go_goroutines"], seen["process_resident_memory_bytes"]
		v.goroutinesMax, v.residentMax = max(v.goroutinesMax, v.goroutines), max(v.residentMax, v.resident)
		r.mu.Unlock()
	}
}

// scrape reads the metrics of an agent that have no labels.
func scrape(a *cluster.Agent) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), vitalsTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.HTTP+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics of %s: %s", a.Name, answer.Status)
	}
	values := map[string]float64{}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		name, text, ok := strings.Cut(lines.Text(), " ")
		if value, err := strconv.ParseFloat(text, 64); ok && err == nil {
			values[name] = value
		}
	}
	return values, lines.Err()
}
