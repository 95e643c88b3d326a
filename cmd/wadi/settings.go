package main

import (
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"

	"github.com/urfave/cli/v2"
	"gopkg.in/yaml.v3"
)

// sourced is a value and where it came from: "default", "file wadi.yaml",
// "variable WADI_KAFKA" or "flag --kafka".
type sourced struct{ value, from string }

// layers says where the settings in force come from. A flag beats a variable,
// that beats the file, that beats the default.
type layers struct {
	from    map[string]string  // by flag name; absent: default
	configs map[string]sourced // broker configs by Kafka's name (--config)
}

// origin of a setting, by its flag's name.
func (l layers) origin(name string) string {
	if from, ok := l.from[name]; ok {
		return from
	}
	return "default"
}

// Names of flags that several places know.
const (
	flagConfig     = "config"
	flagConfigFile = "config-file"
)

// notSetting says that a flag only makes sense on a command line.
func notSetting(name string) bool { return name == "help" || name == flagConfigFile }

func configFileFlag() cli.Flag {
	return &cli.StringFlag{Name: flagConfigFile, Usage: "read settings from the YAML `FILE` [$WADI_CONFIG_FILE]"}
}

func configFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: flagConfig, Usage: "set a broker config by Kafka's name, as `NAME=VALUE` (repeatable)"}
}

// variable is the environment's name of a setting.
func variable(flag string) string {
	return "WADI_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// announceVariable puts the variable's name into a flag's help. The library's own
// EnvVars would hide from us whether a value came from a flag or a variable.
func announceVariable(f cli.Flag) {
	note := " [$" + variable(f.Names()[0]) + "]"
	switch f := f.(type) {
	case *cli.StringFlag:
		f.Usage += note
	case *cli.BoolFlag:
		f.Usage += note
	case *cli.IntFlag:
		f.Usage += note
	case *cli.Int64Flag:
		f.Usage += note
	case *cli.DurationFlag:
		f.Usage += note
	case *cli.StringSliceFlag:
		f.Usage += note
	}
}

// layer fills the command's flags that the command line leaves open from the
// variables and the file, and notes where each came from.
func (p *program) layer(ctx *cli.Context) (layers, error) {
	l := layers{from: map[string]string{}, configs: map[string]sourced{}}
	path := ctx.String(flagConfigFile)
	if path == "" {
		path, _ = p.env(variable(flagConfigFile))
	}
	file, err := readConfigFile(path, settingNames(ctx.App.Commands))
	if err != nil {
		return l, err
	}
	for _, f := range ctx.Command.Flags {
		name := f.Names()[0]
		switch {
		case notSetting(name):
		case name == flagConfig:
			if err := p.layerConfigs(ctx, l, path, file.configs); err != nil {
				return l, err
			}
		case ctx.IsSet(name):
			l.from[name] = "flag --" + name
		default:
			value, from := file.values[name], "file "+path
			if v, ok := p.env(variable(name)); ok {
				value, from = &v, "variable "+variable(name)
			}
			if value == nil {
				continue
			}
			if err := ctx.Set(name, *value); err != nil {
				return l, usagef("%s: %q is not a value for %s", from, *value, name)
			}
			l.from[name] = from
		}
	}
	return l, nil
}

func (p *program) layerConfigs(ctx *cli.Context, l layers, path string, file map[string]string) error {
	for name, value := range file {
		l.configs[name] = sourced{value, "file " + path}
	}
	if text, ok := p.env(variable(flagConfig)); ok {
		pairs, err := splitConfigs(text)
		if err != nil {
			return usagef("variable %s: %s", variable(flagConfig), err)
		}
		for name, value := range pairs {
			l.configs[name] = sourced{value, "variable " + variable(flagConfig)}
		}
	}
	pairs, err := configPairs(ctx.StringSlice(flagConfig))
	if err != nil {
		return usagef("--config: %s", err)
	}
	for name, value := range pairs {
		l.configs[name] = sourced{value, "flag --config"}
	}
	return nil
}

// splitConfigs reads name=value pairs with commas or line ends between them. A
// piece without "=" goes on with the value before it: cleanup.policy=compact,delete.
func splitConfigs(text string) (map[string]string, error) {
	var pairs []string
	for _, line := range strings.Split(text, "\n") {
		for i, piece := range strings.Split(line, ",") {
			switch {
			case strings.TrimSpace(piece) == "":
			case i > 0 && !strings.Contains(piece, "=") && len(pairs) > 0:
				pairs[len(pairs)-1] += "," + piece
			default:
				pairs = append(pairs, piece)
			}
		}
	}
	return configPairs(pairs)
}

func configPairs(pairs []string) (map[string]string, error) {
	configs := map[string]string{}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, fmt.Errorf("%q is not NAME=VALUE", pair)
		}
		configs[name] = strings.TrimSpace(value)
	}
	return configs, nil
}

// configFile is what a YAML file sets.
type configFile struct {
	values  map[string]*string
	configs map[string]string
}

// readConfigFile reads settings by their flags' names; path "" is no file. One
// file may serve all commands, so a setting of any command is fine, and anything
// else is refused: a misspelt setting must not be silently without effect.
func readConfigFile(path string, known map[string]bool) (configFile, error) {
	file := configFile{map[string]*string{}, map[string]string{}}
	if path == "" {
		return file, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		var pathError *os.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err
		}
		return file, usagef("the config file %s: %s", path, err)
	}
	var settings map[string]yaml.Node
	if err := yaml.Unmarshal(text, &settings); err != nil {
		return file, usagef("the config file %s is not a YAML map of settings: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	names := make([]string, 0, len(settings))
	for name := range settings {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		node := settings[name]
		where := fmt.Sprintf("%s, line %d", path, node.Line)
		switch {
		case !known[name]:
			return file, usagef("%s: there is no setting %q", where, name)
		case name == flagConfig:
			if err := node.Decode(&file.configs); err != nil {
				return file, usagef("%s: config is not a map of names to values", where)
			}
		case node.Kind != yaml.ScalarNode:
			return file, usagef("%s: %s is not a single value", where, name)
		default:
			value := node.Value
			file.values[name] = &value
		}
	}
	return file, nil
}

// settingNames are the names of all commands' settings.
func settingNames(commands []*cli.Command) map[string]bool {
	names := map[string]bool{}
	for _, c := range commands {
		for _, f := range c.Flags {
			if name := f.Names()[0]; !notSetting(name) {
				names[name] = true
			}
		}
		for name := range settingNames(c.Subcommands) {
			names[name] = true
		}
	}
	return names
}
