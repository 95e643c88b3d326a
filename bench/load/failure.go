package load

import "sync"

// failure is the first thing that went wrong in a load.
type failure struct {
	once sync.Once
	err  error         // set before was is closed
	was  chan struct{} // closed with the first
}

func newFailure() failure { return failure{was: make(chan struct{})} }

// met keeps an error, if it is the first.
func (f *failure) met(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.was)
	})
}
