package broker

import (
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

// errorCodes gives a response one element in each list and returns its error codes, by their paths.
func errorCodes(v reflect.Value, path string) map[string]reflect.Value {
	found := map[string]reflect.Value{}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			if f.Name == "ErrorCode" {
				found[path] = v.Field(i)
				continue
			}
			for p, c := range errorCodes(v.Field(i), path+"."+f.Name) {
				found[p] = c
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			return errorCodes(v.Index(1), path)
		}
	}
	return found
}

// TestOutcomes: an error anywhere in an answer is its outcome.
func TestOutcomes(t *testing.T) {
	// Of a partition, and not of what the request asked for.
	elsewhere := []string{"Metadata.Topics.Partitions", "DescribeTopicPartitions.Topics.Partitions", "CreateTopics.Topics.Configs"}
	for _, route := range (&Broker{}).Routes() {
		if route.Handle == nil || route.Key == keyFetch {
			continue
		}
		name := RequestName(route.Key)
		m := kmsg.ResponseForKey(route.Key)
		if code, known := outcomeOf(m); code != wire.CodeNone || !known {
			t.Errorf("%s: %d, known: %v", name, code, known)
		}
		codes := errorCodes(reflect.ValueOf(m).Elem(), name)
		if len(codes) == 0 {
			t.Errorf("%s has no error code", name)
		}
		for path, code := range codes {
			if slices.Contains(elsewhere, path) {
				continue
			}
			code.SetInt(int64(wire.CodeUnknownTopicOrPartition))
			if got, _ := outcomeOf(m); got != wire.CodeUnknownTopicOrPartition {
				t.Errorf("%s: %d", path, got)
			}
			code.SetInt(int64(wire.CodeNone))
		}
	}
}
