package measure

import "slices"

// Order is in which n systems are measured in pairs: forth and back, again and again, so that
// whatever drifts meanwhile is shared by all. Each system comes twice a pair.
func Order(n, pairs int) []int {
	var order []int
	for range pairs {
		for i := range n {
			order = append(order, i)
		}
		for i := range n {
			order = append(order, n-1-i)
		}
	}
	return order
}

// Series is a figure of several runs.
type Series []float64

// Median is the middle one, or the mean of the two in the middle; 0 for none.
func (s Series) Median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(len(s)-1)/2] + sorted[len(s)/2]) / 2
}

// Range is the smallest and the largest.
func (s Series) Range() (least, most float64) {
	if len(s) == 0 {
		return 0, 0
	}
	return slices.Min(s), slices.Max(s)
}
