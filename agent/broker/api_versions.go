package broker

import (
	"context"
	"regexp"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

// ApiVersions, versions 0–4. (A version beyond is answered by package wire: version 0 with
// UNSUPPORTED_VERSION.)
//
// Answers from the table that dispatches. From version 3 on the client's software
// name and version must have Kafka's form, else INVALID_REQUEST.
//
// Finalizes group.version 1: members may use the consumer group protocol.
//
// What differs from Apache Kafka: no other features are supported or finalized yet, so
// clients stay on transaction version 1.

// featuresEpoch rises with each change of what is finalized; clients take none that falls.
const featuresEpoch = 1

// featuresVersionMin is the first version of ApiVersions that speaks of features.
const featuresVersionMin = 3

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
		resp.FinalizedFeaturesEpoch = featuresEpoch
		resp.SupportedFeatures = []kmsg.ApiVersionsResponseSupportedFeature{{Name: "group.version", MaxVersion: 1}}
		resp.FinalizedFeatures = []kmsg.ApiVersionsResponseFinalizedFeature{{Name: "group.version", MaxVersionLevel: 1, MinVersionLevel: 1}}
	}
	return wire.Answer{Message: resp}
}
