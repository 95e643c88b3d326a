package metrics

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDashboard: each series that the dashboard asks for is told, with the labels that it names.
func TestDashboard(t *testing.T) {
	m, r := newMetrics(t)
	touch(m)
	labels := map[string]map[string]bool{} // by series
	for _, f := range gather(t, r) {
		named := map[string]bool{"instance": true, "le": true}
		for _, metric := range f.GetMetric() {
			for _, l := range metric.GetLabel() {
				named[l.GetName()] = true
			}
		}
		if f.GetType().String() == "HISTOGRAM" {
			labels[f.GetName()+"_bucket"], labels[f.GetName()+"_count"], labels[f.GetName()+"_sum"] = named, named, named
		} else {
			labels[f.GetName()] = named
		}
	}
	document, err := os.ReadFile("dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(document, &dashboard); err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`wadi_[a-z_]+`)
	by := regexp.MustCompile(`by \(([a-z, ]+)\)`)
	selected := regexp.MustCompile(`\{([a-z]+)[!=~]`)
	found := 0
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			var wanted []string
			for _, list := range by.FindAllStringSubmatch(target.Expr, -1) {
				wanted = append(wanted, strings.Split(list[1], ", ")...)
			}
			for _, s := range selected.FindAllStringSubmatch(target.Expr, -1) {
				wanted = append(wanted, s[1])
			}
			for _, series := range name.FindAllString(target.Expr, -1) {
				found++
				if labels[series] == nil {
					t.Errorf("%s: there is no %s", p.Title, series)
					continue
				}
				for _, l := range wanted {
					if !labels[series][l] {
						t.Errorf("%s: %s has no label %s", p.Title, series, l)
					}
				}
			}
		}
	}
	if found < len(dashboard.Panels) || found == 0 {
		t.Errorf("%d series in %d panels", found, len(dashboard.Panels))
	}
}
