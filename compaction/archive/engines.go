package archive

import (
	"fmt"
	"net/url"
	"strings"
)

// Engines names the warehouses that SQL writes statements for.
func Engines() []string {
	return []string{"duckdb", "athena", "bigquery", "snowflake", "spark", "redshift"}
}

// SQL returns the statement that makes a topic's archive in a bucket a table, for one of Engines.
func SQL(engine string, bucket url.URL, topic string, value Value) (string, error) {
	bucket.RawQuery, bucket.Fragment = "", ""
	if bucket.Scheme == "gs" || bucket.Scheme == "gcs" {
		bucket.Scheme = "gs"
	}
	root := strings.TrimSuffix(bucket.String(), "/")
	if bucket.Scheme == "file" {
		root = strings.TrimSuffix(bucket.Path, "/")
	}
	place := quote(root + "/" + Prefix + Folder(topic) + "/")
	glob := quote(root + "/" + Prefix + Folder(topic) + "/*/*/*.parquet")
	name := strings.Map(func(r rune) rune {
		if r == '.' || r == '-' {
			return '_'
		}
		return r
	}, topic)
	text := value != Binary
	columns := func(str, bin, array string) string {
		typed := bin
		if text {
			typed = str
		}
		all := []string{
			"kafka_topic " + str, "kafka_partition int", "kafka_offset bigint", "kafka_timestamp timestamp", "kafka_timestamp_type " + str,
			"kafka_key " + bin, "kafka_headers " + array, "kafka_value " + typed,
		}
		if text {
			all = append(all, "kafka_value_invalid "+bin)
		}
		return "  " + strings.Join(all, ",\n  ")
	}
	switch engine {
	case "duckdb":
		return fmt.Sprintf("create or replace view \"%s\" as\nselect * from read_parquet(%s, hive_partitioning = true, union_by_name = true);", name, glob), nil
	case "athena":
		return fmt.Sprintf("create external table `%s` (\n%s\n)\npartitioned by (`date` string, `hour` string)\nstored as parquet\nlocation %s\ntblproperties (\n  'projection.enabled' = 'true',\n  'projection.date.type' = 'date', 'projection.date.format' = 'yyyy-MM-dd', 'projection.date.range' = '1970-01-01,NOW',\n  'projection.hour.type' = 'integer', 'projection.hour.range' = '0,23', 'projection.hour.digits' = '2'\n);",
			name, columns("string", "binary", "array<struct<key:string,value:binary>>"), place), nil
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
			name, columns("varchar(65535)", "varbyte(1048576)", "array<struct<key:varchar(65535),value:varbyte(1048576)>>"), place, name), nil
	}
	return "", fmt.Errorf("%q is no engine: there are %s", engine, strings.Join(Engines(), ", "))
}

// quote writes a string literal.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
