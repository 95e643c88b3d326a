package metrics

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/wadi-io/wadi/agent/bucket"
)

// Prices are what requests to the bucket cost, in dollars each. Storage is not among
// them, nor bytes: within a region they cost nothing.
type Prices struct{ Put, Get, List, Delete float64 }

// perThousand is the number of requests that clouds price.
const perThousand = 1000

// priceMax bounds what a thousand requests may be said to cost, in dollars.
const priceMax = 1000

// DefaultPrices are those of S3 Standard in us-east-1 (https://aws.amazon.com/s3/pricing,
// requests; 2025): a thousand PUTs or LISTs 0.005 dollars, a thousand GETs 0.0004, DELETEs nothing.
func DefaultPrices() Prices {
	return Prices{Put: 0.005 / perThousand, Get: 0.0004 / perThousand, List: 0.005 / perThousand}
}

// ParsePrices reads a list such as put=0.005,get=0.0004,list=0.005,delete=0, dollars for a
// thousand requests. What it doesn't name has its default; nothing at all, all of them.
func ParsePrices(text string) (Prices, error) {
	p := DefaultPrices()
	if strings.TrimSpace(text) == "" {
		return p, nil
	}
	for _, item := range strings.Split(text, ",") {
		kind, value, ok := strings.Cut(strings.TrimSpace(item), "=")
		price, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil || math.IsNaN(price) || price < 0 || price > priceMax {
			return p, fmt.Errorf("%q is not a price of a thousand requests, such as put=0.005", item)
		}
		switch price /= perThousand; bucket.Op(kind) {
		case bucket.OpPut:
			p.Put = price
		case bucket.OpGet:
			p.Get = price
		case bucket.OpList:
			p.List = price
		case bucket.OpDelete:
			p.Delete = price
		default:
			return p, fmt.Errorf("%q is no kind of request: there are put, get, list and delete", kind)
		}
	}
	return p, nil
}

// of is the price of one request, in dollars.
func (p Prices) of(op bucket.Op) float64 {
	switch op {
	case bucket.OpPut:
		return p.Put
	case bucket.OpGet:
		return p.Get
	case bucket.OpList:
		return p.List
	case bucket.OpDelete:
		return p.Delete
	}
	return 0
}

// charged tells whether a request was charged as far as can be told: what the bucket refused
// for its own reasons is not; of what was given up or timed out it is assumed.
func charged(err error) bool {
	switch bucket.Outcome(err) {
	case "slow_down", "error", "full":
		return false
	}
	return true
}
