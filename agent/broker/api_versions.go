package broker

import (
	"context"
	"regexp"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire"
)

// ApiVersions, versions 0–4. (A version beyond is answered by package wire: version 0 with
// UNSUPPORTED_VERSION.)
//
// Answers from the table that dispatches. From version 3 on the client's software
// name and version must have Kafka's form, else INVALID_REQUEST.
//
// Finalizes the features that the cluster's feature level has: those that all of its
// agents know. The features epoch is that level, which never falls.
//
// What differs from Apache Kafka: features follow the agents' releases by themselves, there
// is no UpdateFeatures.

// feature is one that ApiVersions tells of.
type feature struct {
	name    string
	version int16
	level   int32 // finalized from this feature level of the cluster on
}

// features are all that this release supports, by name.
func features() []feature {
	return []feature{
		{"group.version", 1, metastore.LevelFirst}, // members may use the consumer group protocol
		// Each end of a transaction raises its producer's epoch (KIP-890).
		{"transaction.version", 2, metastore.LevelTransactions},
	}
}

// level is the cluster's feature level.
func (b *Broker) level() int32 {
	if b.deps.Level == nil {
		return metastore.FeatureLevel
	}
	return b.deps.Level()
}

// The first versions of ApiVersions in which something is so.
const (
	featuresVersionMin = 3 // it speaks of features
	// A feature's lowest version may be 0. Java's clients of before 3.9 ask in version 3, and
	// can't connect to who tells them such a one (KAFKA-17492), so they aren't told of them.
	featuresFromZeroVersionMin = 4
)

// softwareForm is the form of a client's software name and version (KIP-511).
var softwareForm = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

func (b *Broker) handleAPIVersions(_ context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.ApiVersionsRequest)
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	resp.FinalizedFeaturesEpoch = -1
	if req.Version >= 3 && !(softwareForm.MatchString(req.ClientSoftwareName) && softwareForm.MatchString(req.ClientSoftwareVersion)) {
		resp.ErrorCode = wire.CodeInvalidRequest
		return wire.Answer{Message: resp}
	}
	resp.ApiKeys = wire.APIs(b.Routes())
	if req.Version >= featuresVersionMin {
		level := b.level()
		resp.FinalizedFeaturesEpoch = int64(level)
		for _, f := range features() {
			if req.Version >= featuresFromZeroVersionMin {
				resp.SupportedFeatures = append(resp.SupportedFeatures, kmsg.ApiVersionsResponseSupportedFeature{Name: f.name, MaxVersion: f.version})
			}
			if level >= f.level {
				resp.FinalizedFeatures = append(resp.FinalizedFeatures,
					kmsg.ApiVersionsResponseFinalizedFeature{Name: f.name, MaxVersionLevel: f.version, MinVersionLevel: f.version})
			}
		}
	}
	return wire.Answer{Message: resp}
}
