package broker

import (
	"context"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

// DescribeCluster, versions 0–2.
//
// Answers the cluster's id and the agents that clients may be sent to, as Metadata does;
// this agent is the controller, which any agent can be. Asked for controllers (version 1) it says MISMATCHED_ENDPOINT_TYPE, as
// a broker of Apache Kafka does. All operations are authorized: there are no ACLs yet.

// Bits of the operations that may be authorized: Kafka's AclOperation codes.
const (
	operationRead            = 1 << 3
	operationWrite           = 1 << 4
	operationCreate          = 1 << 5
	operationDelete          = 1 << 6
	operationAlter           = 1 << 7
	operationDescribe        = 1 << 8
	operationClusterAction   = 1 << 9
	operationDescribeConfigs = 1 << 10
	operationAlterConfigs    = 1 << 11
	operationIdempotentWrite = 1 << 12

	clusterOperations = operationCreate | operationAlter | operationDescribe | operationClusterAction |
		operationDescribeConfigs | operationAlterConfigs | operationIdempotentWrite
	topicOperations = operationRead | operationWrite | operationCreate | operationDelete | operationAlter |
		operationDescribe | operationDescribeConfigs | operationAlterConfigs
	notAsked = math.MinInt32 // operations that the client did not ask for
)

// The kinds of endpoints that a client can take this for.
const (
	endpointBrokers     = 1
	endpointControllers = 2
)

func (b *Broker) handleDescribeCluster(_ context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.DescribeClusterRequest)
	resp := req.ResponseKind().(*kmsg.DescribeClusterResponse)
	resp.EndpointType = endpointBrokers
	resp.ControllerID = -1
	resp.ClusterAuthorizedOperations = notAsked
	if req.Version >= 1 && req.EndpointType != endpointBrokers {
		resp.ErrorCode = wire.CodeUnsupportedEndpointType
		resp.ErrorMessage = kmsg.StringPtr("Unsupported endpoint type.")
		if req.EndpointType == endpointControllers {
			resp.ErrorCode = wire.CodeMismatchedEndpointType
			resp.ErrorMessage = kmsg.StringPtr("The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER")
		}
		return wire.Answer{Message: resp}
	}
	resp.ClusterID = b.cfg.ClusterID
	view := b.view()
	resp.ControllerID = b.controller(view)
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	for _, a := range view.Named() {
		node := kmsg.NewDescribeClusterResponseBroker()
		node.NodeID, node.Host, node.Port, node.Rack = a.Node, a.KafkaHost, a.KafkaPort, rackOf(a)
		resp.Brokers = append(resp.Brokers, node)
	}
	return wire.Answer{Message: resp}
}
