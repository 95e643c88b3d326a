package metrics

import (
	"fmt"
	"math"
	"net/url"
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

// DefaultPrices are those of S3 Standard.
func DefaultPrices() Prices { return thousands(0.005, 0.0004, 0.005, 0) }

// PricesOf returns what the requests to a bucket cost by its URL: list prices for storage that is
// read often, without free tiers and discounts. Looked up in November 2026; dollars for a thousand PUTs,
// GETs, LISTs and DELETEs:
//
//	s3://      0.005   0.0004   0.005   0  S3 Standard, us-east-1: https://aws.amazon.com/s3/pricing (requests), and
//	                                       https://c3x.dev/blog/s3-request-fees-explained
//	gs://      0.005   0.0004   0.005   0  Standard in a region, us-east1: class A and B operations,
//	                                       https://cloud.google.com/storage/pricing-examples; a dual- or multi-region costs twice
//	                                       as much to write. DELETEs are free operations
//	azblob://  0.0055  0.00044  0.0055  0  hot tier, the sample prices of "Estimate the cost of using Azure Blob Storage",
//	                                       https://learn.microsoft.com/azure/storage/blobs/blob-storage-estimate-costs; DELETEs are free by
//	                                       .../map-rest-apis-transaction-categories. A large object is several requests
//	others          0       0       0   0  a folder, memory, and S3's protocol at an endpoint that isn't Amazon's, as MinIO's
//
// S3 Express One Zone charges bytes too (us-east-1: 0.00113 and 0.00003, and 0.0032 and 0.0006 dollars a GB: https://aws.amazon.com/s3/faqs),
// which are not counted.
func PricesOf(bucket string) Prices {
	u, err := url.Parse(bucket)
	if err != nil {
		return Prices{}
	}
	switch u.Scheme {
	case "s3":
		if endpoint := u.Query().Get("endpoint"); endpoint != "" && !amazon(endpoint) {
			return Prices{}
		}
		return DefaultPrices()
	case "gs":
		return thousands(0.005, 0.0004, 0.005, 0)
	case "azblob":
		return thousands(0.0055, 0.00044, 0.0055, 0)
	}
	return Prices{}
}

func thousands(put, get, list, deletes float64) Prices {
	return Prices{Put: put / perThousand, Get: get / perThousand, List: list / perThousand, Delete: deletes / perThousand}
}

// amazon tells whether an endpoint is one of Amazon's.
func amazon(endpoint string) bool {
	host := endpoint
	if u, err := url.Parse(endpoint); err == nil && u.Host != "" {
		host = u.Hostname()
	}
	return strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn")
}

// ParsePrices reads a list such as put=0.005,get=0.0004,list=0.005,delete=0, dollars for a
// thousand requests. What it doesn't name costs what it does in p; nothing at all, all of them.
func ParsePrices(text string, p Prices) (Prices, error) {
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
// for its own reasons (5XX) is not; what it refused for ours (4XX) is; of what was given up or timed out it
// is assumed. https://docs.aws.amazon.com/AmazonS3/latest/userguide/ErrorCodeBilling.html
func charged(err error) bool {
	switch bucket.Outcome(err) {
	case "slow_down", "error", "full":
		return false
	}
	return true
}
