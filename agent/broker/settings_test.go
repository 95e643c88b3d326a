package broker

import (
	"strings"
	"testing"
)

func TestSettings_EveryDefaultIsValid(t *testing.T) {
	for _, table := range [][]Setting{BrokerSettings(), TopicSettings(), GroupSettings()} {
		before := ""
		for i := range table {
			s := &table[i]
			if s.Name <= before {
				t.Errorf("%s comes after %s", s.Name, before)
			}
			before = s.Name
			if s.Doc() == "" {
				t.Errorf("%s has no documentation", s.Name)
			}
			if s.Default == null || s.Default == "" {
				continue
			}
			if value, err := s.Parse(s.Default); err != nil || value != s.Default {
				t.Errorf("%s: default %q becomes %q, %v", s.Name, s.Default, value, err)
			}
		}
	}
	for name, synonyms := range topicSynonyms {
		if topicSetting(name) == nil {
			t.Errorf("%s is no topic config", name)
		}
		for _, s := range synonyms {
			if b := brokerSetting(s.name); b == nil {
				t.Errorf("%s, behind %s, is no broker config", s.name, name)
			}
		}
	}
	s := DefaultSettings()
	for i := range groupSettings {
		g := &groupSettings[i]
		if got := s.groupDefault(g); got != g.Default {
			t.Errorf("%s: %q behind the broker's configs, %q by itself", g.Name, got, g.Default)
		}
		if err := (&Broker{cfg: Config{Settings: s}}).withinBounds(g, g.Default); err != nil {
			t.Errorf("%s: %v", g.Name, err)
		}
	}
	for i := range topicSettings {
		if got := s.topicDefault(&topicSettings[i]); got != topicSettings[i].Default {
			t.Errorf("%s: %q behind the broker's configs, %q by itself", topicSettings[i].Name, got, topicSettings[i].Default)
		}
	}
}

func TestParseSettings(t *testing.T) {
	for _, row := range []struct{ name, value, problem string }{
		{"num.partitions", "4", ""},
		{"num.partitions", "0", "at least 1"},
		{"num.partitions", "many", "not a number"},
		{"auto.create.topics.enable", "TRUE", ""},
		{"auto.create.topics.enable", "yes", "true or false"},
		{"log.message.timestamp.type", "EventTime", "must be one of"},
		{"log.cleanup.policy", "compact, delete", ""},
		{"log.cleanup.policy", "delete,delete", ""},
		{"compression.gzip.level", "-1", ""},
		{"compression.gzip.level", "0", "at least 1"},
		{"log.cleaner.min.cleanable.ratio", "1.5", "no more than 1"},
		{"retention.ms", "1", "log.retention.ms"},
		{"node.id", "7", "can't be set"},
		{"nonsense", "1", "no broker config"},
		{"ssl.key.password", "secret", ""},
	} {
		s, err := ParseSettings(map[string]string{row.name: row.value})
		switch {
		case row.problem == "" && err != nil:
			t.Errorf("%s=%s: %v", row.name, row.value, err)
		case row.problem != "" && (err == nil || !strings.Contains(err.Error(), row.problem)):
			t.Errorf("%s=%s: %v, want %q", row.name, row.value, err, row.problem)
		}
		if err == nil && s.String(row.name) == "" {
			t.Errorf("%s=%s is not in force", row.name, row.value)
		}
	}
	s, err := ParseSettings(map[string]string{"num.io.threads": "3", "num.partitions": "4"})
	if err != nil || len(s.WithoutEffect()) != 1 || s.WithoutEffect()[0] != "num.io.threads" || s.Int64("num.partitions") != 4 {
		t.Errorf("%v, %v", s, err)
	}
}

func TestConfig_DefaultPartitionsWithinTheLimit(t *testing.T) {
	settings, err := ParseSettings(map[string]string{"num.partitions": "10001"})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{ClusterID: testCluster, Host: "127.0.0.1", Port: 9092, Shards: 1, Settings: settings, Limits: DefaultLimits()}
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "num.partitions") {
		t.Errorf("%v", err)
	}
	cfg.Settings = DefaultSettings()
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
}

func TestParseSettings_TimesOfGroups(t *testing.T) {
	const consumer = "group.consumer."
	for name, row := range map[string]struct {
		set  map[string]string
		want string // in the error; empty: taken
	}{
		"a session time-out within others": {map[string]string{"session.timeout.ms": "50000"}, ""},
		"one at each bound":                {map[string]string{"session.timeout.ms": "60000", "heartbeat.interval.ms": "15000"}, ""},
		"one too short":                    {map[string]string{"session.timeout.ms": "6000"}, "group.consumer.session.timeout.ms (6000) must be greater than or equal to group.consumer.min.session.timeout.ms (45000)"},
		"one as short with its bound":      {map[string]string{"session.timeout.ms": "6000", "min.session.timeout.ms": "6000"}, ""},
		"one too long":                     {map[string]string{"session.timeout.ms": "60001"}, "must be less than or equal to group.consumer.max.session.timeout.ms (60000)"},
		"bounds the wrong way":             {map[string]string{"max.session.timeout.ms": "44999"}, "group.consumer.max.session.timeout.ms (44999) must be greater than or equal to"},
		"an interval too short":            {map[string]string{"heartbeat.interval.ms": "4999"}, "group.consumer.heartbeat.interval.ms (4999) must be greater than or equal to"},
		"an interval too long":             {map[string]string{"heartbeat.interval.ms": "15001"}, "must be less than or equal to group.consumer.max.heartbeat.interval.ms"},
		"an interval like the time-out":    {map[string]string{"heartbeat.interval.ms": "6000", "session.timeout.ms": "6000", "min.session.timeout.ms": "6000"}, "must be less than group.consumer.session.timeout.ms"},
	} {
		t.Run(name, func(t *testing.T) {
			set := map[string]string{}
			for k, v := range row.set {
				set[consumer+k] = v
			}
			settings, err := ParseSettings(set)
			switch {
			case row.want == "" && err != nil:
				t.Error(err)
			case row.want != "" && (err == nil || settings != nil || !strings.Contains(err.Error(), row.want)):
				t.Errorf("%v, want %s", err, row.want)
			}
		})
	}
}
