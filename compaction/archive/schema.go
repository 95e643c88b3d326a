package archive

import (
	"fmt"

	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/schema"

	"github.com/wadi-io/wadi/metastore/columns"
)

// Value says how the column kafka_value is typed. Persisted in the objects' rows.
type Value string

// The types of values.
const (
	Binary Value = "binary"
	String Value = "string"
	JSON   Value = "json"
)

// The columns' field ids. Persisted; never renumber.
const (
	idTopic = iota + 1
	idPartition
	idOffset
	idTimestamp
	idTimestampType
	idKey
	idHeaders
	idHeaderElement
	idHeaderKey
	idHeaderValue
	idValue
	idInvalid
	idError
)

// The columns in their order.
const (
	colTopic         = "kafka_topic"
	colPartition     = "kafka_partition"
	colOffset        = "kafka_offset"
	colTimestamp     = "kafka_timestamp"
	colTimestampType = "kafka_timestamp_type"
	colKey           = "kafka_key"
	colHeaders       = "kafka_headers"
	colValue         = "kafka_value"
	colInvalid       = "kafka_value_invalid" // only where values are typed
	colError         = "kafka_error"         // only of the dead
)

// node is a primitive column. Its arguments are the table below, so a failure is a bug.
func node(name string, r parquet.Repetition, l schema.LogicalType, t parquet.Type, id int32) schema.Node {
	return schema.MustPrimitive(schema.NewPrimitiveNodeLogical(name, r, l, t, -1, id))
}

// schemaOf returns the schema of objects. Typed columns have no field ids: they are known by their names.
func schemaOf(info *Info) (*schema.GroupNode, error) {
	v := info.value()
	required, optional := parquet.Repetitions.Required, parquet.Repetitions.Optional
	none, text := schema.NoLogicalType{}, schema.StringLogicalType{}
	bytes := parquet.Types.ByteArray
	var typed schema.LogicalType
	switch v {
	case Binary:
		typed = none
	case String:
		typed = text
	case JSON:
		typed = schema.JSONLogicalType{}
	default:
		return nil, fmt.Errorf("values of type %q", v)
	}
	element := schema.MustGroup(schema.NewGroupNode("element", required, schema.FieldList{
		node("key", required, text, bytes, idHeaderKey),
		node("value", optional, none, bytes, idHeaderValue),
	}, idHeaderElement))
	list := schema.MustGroup(schema.NewGroupNode("list", parquet.Repetitions.Repeated, schema.FieldList{element}, -1))
	fields := schema.FieldList{
		node(colTopic, required, text, bytes, idTopic),
		node(colPartition, required, none, parquet.Types.Int32, idPartition),
		node(colOffset, required, none, parquet.Types.Int64, idOffset),
		node(colTimestamp, optional, schema.NewTimestampLogicalType(true, schema.TimeUnitMicros), parquet.Types.Int64, idTimestamp),
		node(colTimestampType, required, text, bytes, idTimestampType),
		node(colKey, optional, none, bytes, idKey),
		schema.MustGroup(schema.NewGroupNodeLogical(colHeaders, required, schema.FieldList{list}, schema.NewListLogicalType(), idHeaders)),
		node(colValue, optional, typed, bytes, idValue),
	}
	if v != Binary {
		fields = append(fields, node(colInvalid, optional, none, bytes, idInvalid))
	}
	for _, c := range info.Columns {
		logical, physical := stored(c.Type)
		fields = append(fields, node(c.Name, optional, logical, physical, -1))
	}
	if info.Dead {
		fields = append(fields, node(colError, required, text, bytes, idError))
	}
	return schema.NewGroupNode("kafka_record", required, fields, -1)
}

// stored is how a typed column is stored.
func stored(t columns.Type) (schema.LogicalType, parquet.Type) {
	switch t {
	case columns.Boolean:
		return schema.NoLogicalType{}, parquet.Types.Boolean
	case columns.Int64:
		return schema.NoLogicalType{}, parquet.Types.Int64
	case columns.Double:
		return schema.NoLogicalType{}, parquet.Types.Double
	case columns.Timestamp, columns.TimestampMs:
		return schema.NewTimestampLogicalType(true, schema.TimeUnitMicros), parquet.Types.Int64
	case columns.Date:
		return schema.DateLogicalType{}, parquet.Types.Int32
	case columns.JSON:
		return schema.JSONLogicalType{}, parquet.Types.ByteArray
	}
	return schema.StringLogicalType{}, parquet.Types.ByteArray
}

// pageBytes is how large a page may be before it is compressed.
const pageBytes = 1 << 20

// properties are those of every object: encodings of Parquet's first version only,
// since Snowflake loads no others; statistics where rows are sorted or filtered by.
func properties(typed columns.Schema) *parquet.WriterProperties {
	options := []parquet.WriterProperty{
		parquet.WithCreatedBy("wadi"), parquet.WithRootName("kafka_record"),
		parquet.WithVersion(parquet.V2_LATEST), parquet.WithDataPageVersion(parquet.DataPageV1),
		parquet.WithCompression(compress.Codecs.Zstd), parquet.WithDataPageSize(pageBytes),
		parquet.WithDictionaryDefault(false), parquet.WithStats(false),
	}
	for _, c := range []string{colTopic, colPartition, colTimestampType, colKey, colHeaders + ".list.element.key"} {
		options = append(options, parquet.WithDictionaryFor(c, true))
	}
	for _, c := range []string{colPartition, colOffset, colTimestamp} {
		options = append(options, parquet.WithStatsFor(c, true))
	}
	for _, c := range typed {
		switch _, physical := stored(c.Type); {
		case physical != parquet.Types.ByteArray:
			options = append(options, parquet.WithStatsFor(c.Name, physical != parquet.Types.Boolean))
		case c.Type == columns.String:
			options = append(options, parquet.WithDictionaryFor(c.Name, true))
		}
	}
	return parquet.NewWriterProperties(options...)
}
