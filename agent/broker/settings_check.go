package broker

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/wadi-io/wadi/metastore/columns"
)

// Type is the type of a config, as DescribeConfigs numbers it.
type Type int8

const (
	boolean  Type = 1
	text     Type = 2
	integer  Type = 3
	short    Type = 4
	long     Type = 5
	double   Type = 6
	list     Type = 7
	class    Type = 8
	password Type = 9
)

func (t Type) String() string {
	switch t {
	case boolean:
		return "boolean"
	case text:
		return "string"
	case integer:
		return "int"
	case short:
		return "short"
	case long:
		return "long"
	case double:
		return "double"
	case list:
		return "list"
	case class:
		return "class"
	case password:
		return "password"
	}
	return fmt.Sprintf("type-%d", int8(t))
}

// canonical returns a value as Kafka prints it, or why it is not one of the type.
func (t Type) canonical(value string) (string, error) {
	trimmed := strings.TrimSpace(value)
	switch t {
	case boolean:
		switch {
		case strings.EqualFold(trimmed, "true"):
			return "true", nil
		case strings.EqualFold(trimmed, "false"):
			return "false", nil
		}
		return "", errors.New("expected value to be either true or false")
	case short, integer, long:
		bits := map[Type]int{short: 16, integer: 32, long: 64}[t]
		n, err := strconv.ParseInt(trimmed, 10, bits)
		if err != nil {
			return "", fmt.Errorf("not a number of type %v", t)
		}
		return strconv.FormatInt(n, 10), nil
	case double:
		f, err := strconv.ParseFloat(trimmed, 64)
		if err != nil || math.IsNaN(f) {
			return "", errors.New("not a number of type double")
		}
		return trimmed, nil
	case list:
		var items []string
		seen := map[string]bool{}
		for _, item := range splitList(trimmed) {
			if !seen[item] { // as in Kafka: what comes twice counts once
				seen[item] = true
				items = append(items, item)
			}
		}
		return strings.Join(items, ","), nil
	case password:
		return value, nil
	}
	return trimmed, nil
}

// splitList returns the items of a list's value.
func splitList(value string) []string {
	if value == "" {
		return nil
	}
	items := strings.Split(value, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

// check says why a value of the right type is out of range.
type check func(t Type, value string) error

func atLeast(lowest float64) check { return between(lowest, math.Inf(1)) }

func between(lowest, highest float64) check {
	return func(_ Type, value string) error {
		n, err := strconv.ParseFloat(value, 64)
		switch {
		case err != nil:
			return err
		case n < lowest:
			return fmt.Errorf("value must be at least %v", lowest)
		case n > highest:
			return fmt.Errorf("value must be no more than %v", highest)
		}
		return nil
	}
}

func oneOf(values ...string) check {
	return func(t Type, value string) error {
		items := []string{value}
		if t == list {
			items = splitList(value)
		}
		for _, item := range items {
			if !slices.Contains(values, item) {
				return fmt.Errorf("must be one of %s", strings.Join(values, ", "))
			}
		}
		return nil
	}
}

// oneOfFold is oneOf whatever the case.
func oneOfFold(values ...string) check {
	return func(_ Type, value string) error {
		if !slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, value) }) {
			return fmt.Errorf("must be one of %s", strings.Join(values, ", "))
		}
		return nil
	}
}

func either(a, b check) check {
	return func(t Type, value string) error {
		err := a(t, value)
		if err != nil && b(t, value) == nil {
			return nil
		}
		return err
	}
}

// assignors demands names of server-side assignors, at least one.
func assignors(t Type, value string) error {
	if err := notEmpty(t, value); err != nil {
		return err
	}
	return oneOf("uniform", "range")(t, value)
}

func notEmpty(_ Type, value string) error {
	if value == "" {
		return errors.New("must not be empty")
	}
	return nil
}

// columnsOfValues takes what package columns reads.
func columnsOfValues(_ Type, value string) error {
	_, err := columns.Parse(value)
	return err
}

var throttledReplica = regexp.MustCompile(`^\d+:\d+$`)

// throttledReplicas takes "*", or a list of partition:broker.
func throttledReplicas(_ Type, value string) error {
	for _, item := range splitList(value) {
		if value != "*" && !throttledReplica.MatchString(item) {
			return errors.New("must be * or a list of [partitionId]:[brokerId]")
		}
	}
	return nil
}
