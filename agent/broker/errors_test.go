package broker

import (
	"errors"
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestMessageOf_Fits: a message that quotes the longest name fits into an answer of any version.
func TestMessageOf_Fits(t *testing.T) {
	for _, name := range []string{"t", strings.Repeat("t", math.MaxInt16), strings.Repeat("ü", math.MaxInt16/2), "x" + strings.Repeat("語", math.MaxInt16/3)} {
		message := *messageOf(errors.New("The topic name is too long: " + name + "."))
		if len(message) > math.MaxInt16 || !utf8.ValidString(message) || !strings.HasPrefix(message, "The topic name is too long: "+name[:1]) {
			t.Errorf("of a name of %d bytes: %d bytes, %.40q … %q", len(name), len(message), message, message[max(0, len(message)-8):])
		}
	}
}
