package archive

import (
	"fmt"

	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"

	"github.com/wadi-io/wadi/metastore/columns"
)

// ColumnsOf returns the typed columns of an object, as its metadata declares them.
func ColumnsOf(object parquet.ReaderAtSeeker) (columns.Schema, error) {
	r, err := file.NewParquetReader(object)
	if err != nil {
		return nil, fmt.Errorf("read the metadata: %w", err)
	}
	defer r.Close()
	text := r.MetaData().KeyValueMetadata().FindValue(metaColumns)
	if text == nil {
		return nil, nil
	}
	return columns.Parse(*text)
}
