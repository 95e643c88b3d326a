package io.wadi.clients;

import com.fasterxml.jackson.databind.node.ArrayNode;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ConsumerGroupListing;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ElectionNotNeededException;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** A tour of the admin client. The topic doesn't exist before it, nor after; the group is empty, with commits. */
final class Tour {
    private final String topic;
    private final String group;
    private final ArrayNode steps;
    private final String address;
    private final int brokers;

    Tour(String address, int brokers, String topic, String group, ArrayNode steps) {
        this.address = address;
        this.brokers = brokers;
        this.topic = topic;
        this.group = group;
        this.steps = steps;
    }

    static Admin admin(String address) {
        Properties config = Program.config(address);
        config.put("default.api.timeout.ms", "30000");
        return Admin.create(config);
    }

    static <T> T get(KafkaFuture<T> future) throws Exception {
        return future.get(40, TimeUnit.SECONDS);
    }

    static void create(String address, String topic, int partitions, Map<String, String> configs) throws Exception {
        try (Admin admin = admin(address)) {
            get(admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all());
        }
    }

    static Collection<String> topics(String address) throws Exception {
        try (Admin admin = admin(address)) {
            return get(admin.listTopics().names());
        }
    }

    /** The producer tells it: the admin client's way was renamed between the versions. */
    static int partitions(String address, String topic) {
        Properties config = Program.config(address);
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            return producer.partitionsFor(topic).size();
        }
    }

    static void remove(String address, String topic) throws Exception {
        try (Admin admin = admin(address)) {
            get(admin.deleteTopics(List.of(topic)).all());
        }
    }

    void run() throws Exception {
        try (Admin admin = admin(address)) {
            cluster(admin);
            topicAndConfigs(admin);
            offsets(admin);
            groups(admin);
            get(admin.deleteTopics(List.of(topic)).all());
            done("deleteTopics");
        }
    }

    private void cluster(Admin admin) throws Exception {
        DescribeClusterResult cluster = admin.describeCluster();
        expect("a cluster id", !get(cluster.clusterId()).isEmpty());
        expect(brokers + " nodes", get(cluster.nodes()).size() == brokers);
        int node = get(cluster.controller()).id();
        done("describeCluster");
        expect("a log dir", !get(admin.describeLogDirs(List.of(node)).allDescriptions()).get(node).isEmpty());
        done("describeLogDirs");
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, Integer.toString(node));
        Config config = get(admin.describeConfigs(List.of(broker)).all()).get(broker);
        expect("num.partitions", config.get("num.partitions").value().equals("1"));
        done("describeConfigs of the broker");
    }

    private void topicAndConfigs(Admin admin) throws Exception {
        NewTopic made = new NewTopic(topic, Optional.of(2), Optional.empty()).configs(Map.of("retention.ms", "86400000"));
        get(admin.createTopics(List.of(made)).all());
        try {
            get(admin.createTopics(List.of(made)).all());
            throw new IllegalStateException("a topic was created twice");
        } catch (ExecutionException e) {
            expect("TopicExistsException, not " + e.getCause(), e.getCause() instanceof TopicExistsException);
        }
        done("createTopics");
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        expect("retention.ms", get(admin.describeConfigs(List.of(resource)).all()).get(resource).get("retention.ms").value().equals("86400000"));
        Collection<AlterConfigOp> ops = List.of(
                new AlterConfigOp(new ConfigEntry("retention.ms", ""), AlterConfigOp.OpType.DELETE),
                new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.APPEND),
                new AlterConfigOp(new ConfigEntry("max.message.bytes", "2000000"), AlterConfigOp.OpType.SET));
        get(admin.incrementalAlterConfigs(Map.of(resource, ops)).all());
        Config now = get(admin.describeConfigs(List.of(resource)).all()).get(resource);
        expect("retention.ms is the default", now.get("retention.ms").isDefault() && now.get("retention.ms").value().equals("604800000"));
        expect("cleanup.policy", now.get("cleanup.policy").value().equals("delete,compact"));
        expect("max.message.bytes", now.get("max.message.bytes").value().equals("2000000"));
        expect("its source", now.get("max.message.bytes").source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
        done("incrementalAlterConfigs");
        get(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all());
        expect("four partitions", partitions(address, topic) == 4);
        done("createPartitions");
        try {
            get(admin.electLeaders(ElectionType.PREFERRED, Set.of(new TopicPartition(topic, 0))).all());
        } catch (ExecutionException e) {
            expect("ElectionNotNeededException, not " + e.getCause(), e.getCause() instanceof ElectionNotNeededException);
        }
        done("electLeaders");
    }

    private void offsets(Admin admin) throws Exception {
        TopicPartition p = new TopicPartition(topic, 3);
        Properties config = Program.config(address);
        config.put("acks", "all");
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (int i = 0; i < 10; i++) {
                producer.send(new org.apache.kafka.clients.producer.ProducerRecord<>(topic, 3, 1000L + i, new byte[] {(byte) i}, new byte[] {1})).get();
            }
        }
        expect("latest", get(admin.listOffsets(Map.of(p, OffsetSpec.latest())).partitionResult(p)).offset() == 10);
        expect("since", get(admin.listOffsets(Map.of(p, OffsetSpec.forTimestamp(1004))).partitionResult(p)).offset() == 4);
        done("listOffsets");
        expect("low watermark", get(admin.deleteRecords(Map.of(p, RecordsToDelete.beforeOffset(7))).lowWatermarks().get(p)).lowWatermark() == 7);
        expect("earliest", get(admin.listOffsets(Map.of(p, OffsetSpec.earliest())).partitionResult(p)).offset() == 7);
        done("deleteRecords");
    }

    private void groups(Admin admin) throws Exception {
        List<String> names = new ArrayList<>();
        for (ConsumerGroupListing one : get(admin.listConsumerGroups().all())) {
            names.add(one.groupId());
        }
        expect(group + " among " + names, names.contains(group));
        done("listConsumerGroups");
        ConsumerGroupDescription described = get(admin.describeConsumerGroups(List.of(group)).all()).get(group);
        expect("it is empty", described.members().isEmpty() && described.state().toString().equals("Empty"));
        done("describeConsumerGroups");
        Map<TopicPartition, OffsetAndMetadata> committed = get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
        expect("its commits", committed.size() == 1);
        done("listConsumerGroupOffsets");
        TopicPartition p = new TopicPartition(topic, 1);
        get(admin.alterConsumerGroupOffsets(group, Map.of(p, new OffsetAndMetadata(17, "tour"))).all());
        committed = get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
        expect("17", committed.get(p).offset() == 17 && committed.get(p).metadata().equals("tour"));
        done("alterConsumerGroupOffsets");
        get(admin.deleteConsumerGroupOffsets(group, Set.of(p)).all());
        expect("the offset is gone", get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).get(p) == null);
        done("deleteConsumerGroupOffsets");
        get(admin.deleteConsumerGroups(List.of(group)).all());
        done("deleteConsumerGroups");
    }

    private void done(String step) {
        steps.add(step);
    }

    private void expect(String what, boolean holds) {
        if (!holds) {
            throw new IllegalStateException("expected " + what + ", after " + steps);
        }
    }
}
