//go:build !faketime

package bucket

// schemes is the one table of what a bucket's URL may begin with.
func schemes() []scheme {
	return []scheme{
		{"file", openFile},
		{"mem", openMem},
		{"s3", openS3},
		{"gs", openGCS},
		{"azblob", openAzure},
	}
}
