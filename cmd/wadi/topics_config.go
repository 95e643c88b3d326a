package main

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/urfave/cli/v2"

	"github.com/wadi-io/wadi/agent/broker"
)

// topicConfig is a config that is in force for a topic.
type topicConfig struct {
	Name   string  `json:"name"`
	Value  *string `json:"value"` // null where it has none
	Source string  `json:"source"`
	Doc    string  `json:"doc,omitempty"`
}

func (p *program) topicsConfigCommand() *cli.Command {
	return &cli.Command{
		Name: "config", Usage: "show the configs that are in force for a topic, and from where", ArgsUsage: "TOPIC [NAME...]",
		Flags: clientFlags(
			&cli.BoolFlag{Name: "doc", Usage: "say what each one does"},
			outputFlag(),
		),
		Action: func(ctx *cli.Context) error {
			if err := argumentCount(ctx, 1, -1); err != nil {
				return err
			}
			asJSON, err := wantsJSON(ctx)
			if err != nil {
				return err
			}
			configs, err := topicConfigs(ctx, ctx.Args().First(), ctx.Args().Tail())
			if err != nil {
				return err
			}
			return p.printConfigs(configs, asJSON)
		},
	}
}

// topicConfigs asks for a topic's configs, all or those named.
func topicConfigs(ctx *cli.Context, topic string, names []string) ([]topicConfig, error) {
	docs := map[string]string{}
	for _, s := range broker.TopicSettings() {
		docs[s.Name] = s.Doc()
	}
	wanted := map[string]bool{}
	for _, name := range names {
		if _, known := docs[name]; !known {
			return nil, usagef("there is no topic config %q", name)
		}
		wanted[name] = true
	}
	admin, timed, done, err := connectAdmin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	answers, err := admin.DescribeTopicConfigs(timed, topic)
	if err == nil {
		var answer kadm.ResourceConfig
		if answer, err = answers.On(topic, nil); err == nil {
			err = withMessage(answer.Err, answer.ErrMessage)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("describe the configs of %q: %w", topic, err)
	}
	var configs []topicConfig
	for _, answer := range answers {
		for _, c := range answer.Configs {
			if len(wanted) > 0 && !wanted[c.Key] {
				continue
			}
			line := topicConfig{Name: c.Key, Value: c.Value, Source: configSource(c.Source.String())}
			if ctx.Bool("doc") {
				line.Doc = docs[c.Key]
			}
			configs = append(configs, line)
		}
	}
	return configs, nil
}

// configSource says where a value comes from.
func configSource(source string) string {
	switch source {
	case "DYNAMIC_TOPIC_CONFIG":
		return "topic"
	case "STATIC_BROKER_CONFIG":
		return "agent"
	case "DEFAULT_CONFIG":
		return "default"
	}
	return strings.ToLower(source)
}

func (p *program) printConfigs(configs []topicConfig, asJSON bool) error {
	headings := []string{"CONFIG", "VALUE", "FROM"}
	var rows [][]string
	for _, c := range configs {
		if asJSON {
			if err := printJSON(p.stdout, c); err != nil {
				return err
			}
			continue
		}
		row := []string{c.Name, "-", c.Source}
		if c.Value != nil {
			row[1] = *c.Value
		}
		if c.Doc != "" {
			headings = []string{"CONFIG", "VALUE", "FROM", "DOES"}
			row = append(row, c.Doc)
		}
		rows = append(rows, row)
	}
	if asJSON {
		return nil
	}
	return printTable(p.stdout, headings, rows)
}
