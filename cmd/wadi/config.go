package main

import (
	"slices"
	"sort"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/wadi-io/wadi/agent/broker"
)

type settingLine struct {
	Setting string `json:"setting"`
	Value   string `json:"value"`
	From    string `json:"from"`
}

func (p *program) configCommand() *cli.Command {
	return &cli.Command{
		Name: "config", Usage: "print the settings in force for dev and agent, and where each comes from",
		Description: "A flag beats a WADI_* variable, that beats the file of --config-file, that beats the\n" +
			"default. Takes the same flags as dev and agent. Prints settings that are set wrongly, too;\nit is those commands that refuse them.",
		Flags: agentFlags(append(slices.Concat(peerFlags(), clusterFlags()),
			dirFlag(), outputFlag(),
			&cli.BoolFlag{Name: "all", Usage: "print the broker configs that are not set, too, where they have an effect"},
			&cli.StringFlag{Name: "bucket", Usage: "see wadi agent"},
			&cli.StringFlag{Name: "metastore", Usage: "see wadi agent"},
		)...),
		Action: func(ctx *cli.Context) error {
			if err := argumentCount(ctx, 0, 0); err != nil {
				return err
			}
			asJSON, err := wantsJSON(ctx)
			if err != nil {
				return err
			}
			lines := p.settingLines(ctx)
			rows := make([][]string, len(lines))
			for i, line := range lines {
				if asJSON {
					if err := printJSON(p.stdout, line); err != nil {
						return err
					}
				}
				rows[i] = []string{line.Setting, line.Value, line.From}
			}
			if asJSON {
				return nil
			}
			return printTable(p.stdout, []string{"SETTING", "VALUE", "FROM"}, rows)
		},
	}
}

// settingLines are the settings by name, then the broker configs that are set.
func (p *program) settingLines(ctx *cli.Context) []settingLine {
	var lines []settingLine
	for _, f := range ctx.Command.Flags {
		name := f.Names()[0]
		if notSetting(name) || name == flagConfig || name == flagOutput || name == "all" {
			continue
		}
		value := ctx.String(name)
		if name == "bucket" || name == "metastore" {
			value = redacted(value)
		}
		if name == flagClusterSecret && value != "" {
			value = "(hidden)"
		}
		lines = append(lines, settingLine{name, value, p.layers.origin(name)})
	}
	sort.Slice(lines, func(i, j int) bool { return lines[i].Setting < lines[j].Setting })
	var configs []settingLine
	hidden := map[string]bool{}
	for _, s := range broker.BrokerSettings() {
		hidden[s.Name] = s.Sensitive()
		if _, set := p.layers.configs[s.Name]; !set && ctx.Bool("all") && s.HasEffect() {
			configs = append(configs, settingLine{flagConfig + " " + s.Name, strings.Trim(s.Default, "\x00"), "default"})
		}
	}
	for name, setting := range p.layers.configs {
		if hidden[name] {
			setting.value = "(hidden)"
		}
		configs = append(configs, settingLine{flagConfig + " " + name, setting.value, setting.from})
	}
	sort.Slice(configs, func(i, j int) bool { return configs[i].Setting < configs[j].Setting })
	return append(lines, configs...)
}
