package io.wadi.clients;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Properties;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** A member of a group: consumes, and commits what each poll gave. */
final class Member extends Thread implements ConsumerRebalanceListener {
    private final String topic;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final TreeSet<Integer> held = new TreeSet<>(); // of the consumer's thread
    private volatile boolean leaving;
    private volatile Exception failure;

    Member(String address, JsonNode request) {
        topic = request.get("topic").asText();
        Properties config = Program.config(address);
        config.put("group.id", request.get("group").asText());
        config.put("enable.auto.commit", "false");
        config.put("auto.offset.reset", "earliest");
        config.put("fetch.max.wait.ms", "100");
        if (!request.get("instance").asText().isEmpty()) {
            config.put("group.instance.id", request.get("instance").asText());
        }
        if (request.get("protocol").asText().equals("consumer")) {
            config.put("group.protocol", "consumer");
        } else {
            config.put("session.timeout.ms", request.get("session").asText());
            config.put("heartbeat.interval.ms", "500");
            config.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
        }
        consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    @Override
    public void run() {
        try {
            consumer.subscribe(List.of(topic), this);
            while (!leaving) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(100));
                if (!records.isEmpty()) {
                    consumed(records);
                }
            }
            consumer.close();
        } catch (Exception e) {
            e.printStackTrace();
            failure = e;
            Program.write(Program.JSON.createObjectNode().put("error", e.toString()));
        }
    }

    private void consumed(ConsumerRecords<byte[], byte[]> records) {
        for (TopicPartition p : records.partitions()) {
            List<ConsumerRecord<byte[], byte[]>> some = records.records(p);
            Program.write(Program.JSON.createObjectNode().put("event", "read").put("partition", p.partition())
                    .put("first", some.get(0).offset()).put("last", some.get(some.size() - 1).offset()));
        }
        try {
            consumer.commitSync();
        } catch (CommitFailedException | RebalanceInProgressException e) {
            return; // who has the partitions now reads from the last commit on
        }
        for (TopicPartition p : records.partitions()) {
            List<ConsumerRecord<byte[], byte[]>> some = records.records(p);
            Program.write(Program.JSON.createObjectNode().put("event", "committed").put("partition", p.partition())
                    .put("offset", some.get(some.size() - 1).offset() + 1));
        }
    }

    void leave() throws Exception {
        leaving = true;
        join();
        if (failure != null) {
            throw failure;
        }
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        partitions.forEach(p -> held.add(p.partition()));
        tell();
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        partitions.forEach(p -> held.remove(p.partition()));
        tell();
    }

    private void tell() {
        ObjectNode event = Program.JSON.createObjectNode().put("event", "assigned");
        ArrayNode partitions = event.putArray("partitions");
        held.forEach(partitions::add);
        Program.write(event);
    }
}
