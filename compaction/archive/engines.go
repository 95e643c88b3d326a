package archive

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/wadi-io/wadi/metastore/columns"
)

// NeedsColumns tells whether an engine's statement lists the columns; the others find them in the objects.
func NeedsColumns(engine string) bool { return engine == "athena" || engine == "redshift" }

// Engines names the warehouses that SQL writes statements for.
func Engines() []string {
	return []string{"duckdb", "athena", "bigquery", "snowflake", "spark", "redshift"}
}

// Listed is an archive as a statement names it.
type Listed struct {
	Topic   string
	Value   Value
	Columns columns.Schema // typed columns
	Dead    bool           // the records that could not be typed
}

// folder and name are where its objects are, and what the table is called.
func (l *Listed) folder() string {
	if l.Dead {
		return DeadFolder(l.Topic)
	}
	return Folder(l.Topic)
}

func (l *Listed) name() string {
	name := strings.Map(func(r rune) rune {
		if r == '.' || r == '-' {
			return '_'
		}
		return r
	}, l.Topic)
	if l.Dead {
		name += deadSuffix
	}
	return name
}

// words are the types of an engine that needs the columns listed.
type words struct {
	text, bytes, headers, double, quote string
}

// columns lists the columns.
func (l *Listed) columns(w words) string {
	value := w.text
	if l.Value == Binary || l.Dead {
		value = w.bytes
	}
	all := []string{
		"kafka_topic " + w.text, "kafka_partition int", "kafka_offset bigint", "kafka_timestamp timestamp", "kafka_timestamp_type " + w.text,
		"kafka_key " + w.bytes, "kafka_headers " + w.headers, "kafka_value " + value,
	}
	switch {
	case l.Dead:
		return "  " + strings.Join(append(all, "kafka_error "+w.text), ",\n  ")
	case l.Value != Binary:
		all = append(all, "kafka_value_invalid "+w.bytes)
	}
	for _, c := range l.Columns {
		t := w.text
		switch c.Type {
		case columns.Boolean:
			t = "boolean"
		case columns.Int64:
			t = "bigint"
		case columns.Double:
			t = w.double
		case columns.Timestamp, columns.TimestampMs:
			t = "timestamp"
		case columns.Date:
			t = "date"
		}
		all = append(all, w.quote+c.Name+w.quote+" "+t)
	}
	return "  " + strings.Join(all, ",\n  ")
}

// SQL returns the statement that makes an archive in a bucket a table, for one of Engines.
func SQL(engine string, bucket url.URL, l Listed) (string, error) {
	bucket.RawQuery, bucket.Fragment = "", ""
	if bucket.Scheme == "gs" || bucket.Scheme == "gcs" {
		bucket.Scheme = "gs"
	}
	root := strings.TrimSuffix(bucket.String(), "/")
	if bucket.Scheme == "file" {
		root = strings.TrimSuffix(bucket.Path, "/")
	}
	place := quote(root + "/" + Prefix + l.folder() + "/")
	glob := quote(root + "/" + Prefix + l.folder() + "/*/*/*.parquet")
	name := l.name()
	switch engine {
	case "duckdb":
		return fmt.Sprintf("create or replace view \"%s\" as\nselect * from read_parquet(%s, hive_partitioning = true, union_by_name = true);", name, glob), nil
	case "athena":
		return fmt.Sprintf("create external table `%s` (\n%s\n)\npartitioned by (`date` string, `hour` string)\nstored as parquet\nlocation %s\ntblproperties (\n  'projection.enabled' = 'true',\n  'projection.date.type' = 'date', 'projection.date.format' = 'yyyy-MM-dd', 'projection.date.range' = '1970-01-01,NOW',\n  'projection.hour.type' = 'integer', 'projection.hour.range' = '0,23', 'projection.hour.digits' = '2'\n);",
			name, l.columns(words{"string", "binary", "array<struct<key:string,value:binary>>", "double", "`"}), place), nil
	case "bigquery":
		folder := strings.TrimSuffix(place, "/'") + "'"
		return fmt.Sprintf("create or replace external table DATASET.`%s`\nwith partition columns (date date, hour int64)\noptions (\n  format = 'PARQUET', enable_list_inference = true,\n  uris = [%s],\n  hive_partition_uri_prefix = %s\n);",
			name, strings.Replace(glob, "/*/*/*.parquet", "/*", 1), folder), nil
	case "snowflake":
		return fmt.Sprintf("create or replace stage \"%s_stage\" url = %s; -- with your storage_integration\ncreate or replace external table \"%s\" (\n  \"date\" date as to_date(split_part(split_part(metadata$filename, 'date=', 2), '/', 1)),\n  \"hour\" int as to_number(split_part(split_part(metadata$filename, 'hour=', 2), '/', 1))\n)\npartition by (\"date\", \"hour\")\nlocation = @\"%s_stage\" file_format = (type = parquet binary_as_text = false) auto_refresh = false;",
			name, strings.Replace(place, "'gs://", "'gcs://", 1), name, name), nil
	case "spark":
		return fmt.Sprintf("create or replace temporary view `%s` using parquet options (path %s, mergeSchema 'true');", name, strings.Replace(place, "'s3://", "'s3a://", 1)), nil
	case "redshift":
		return fmt.Sprintf("-- in an external schema SCHEMA; headers need their own select from array\ncreate external table SCHEMA.\"%s\" (\n%s\n)\npartitioned by (\"date\" date, \"hour\" int)\nstored as parquet\nlocation %s;\n-- then, for each hour: alter table SCHEMA.\"%s\" add if not exists partition (\"date\"='2026-01-01', \"hour\"=0) location '…/date=2026-01-01/hour=00/';",
			name, l.columns(words{"varchar(65535)", "varbyte(1048576)", "array<struct<key:varchar(65535),value:varbyte(1048576)>>", "double precision", `"`}), place, name), nil
	}
	return "", fmt.Errorf("%q is no engine: there are %s", engine, strings.Join(Engines(), ", "))
}

// quote writes a string literal.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
