package io.wadi.clients;

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Copies a topic into another, each record to the partition that it came from, in transactions that commit
 * what was read with what was written, as Apache Kafka's TransactionalMessageCopier does. One transaction in
 * ten is aborted. It runs until it is killed.
 *
 * Arguments: the agents, the topics, the group, the transactional id, the group's protocol.
 */
public final class Copier {
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final KafkaProducer<byte[], byte[]> producer;
    private final String from;
    private final String to;
    private final Random random = new Random();

    private Copier(String[] args) {
        from = args[1];
        to = args[2];
        Properties in = new Properties();
        in.put("bootstrap.servers", args[0]);
        in.put("group.id", args[3]);
        in.put("isolation.level", "read_committed");
        in.put("enable.auto.commit", "false");
        in.put("auto.offset.reset", "earliest");
        in.put("max.poll.records", "50");
        in.put("fetch.max.wait.ms", "100");
        if (args[5].equals("consumer")) {
            in.put("group.protocol", "consumer");
        } else {
            in.put("session.timeout.ms", "6000");
            in.put("heartbeat.interval.ms", "500");
        }
        consumer = new KafkaConsumer<>(in, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        Properties out = new Properties();
        out.put("bootstrap.servers", args[0]);
        out.put("transactional.id", args[4]);
        out.put("transaction.timeout.ms", "20000");
        out.put("linger.ms", "2");
        producer = new KafkaProducer<>(out, new ByteArraySerializer(), new ByteArraySerializer());
    }

    public static void main(String[] args) {
        while (true) {
            Copier copier = new Copier(args);
            try {
                copier.run();
            } catch (KafkaException e) {
                System.err.println("begins anew: " + e);
            } finally {
                copier.producer.close(Duration.ZERO);
                copier.consumer.close(Duration.ofSeconds(5));
            }
        }
    }

    private void run() {
        producer.initTransactions();
        consumer.subscribe(List.of(from));
        while (true) {
            ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(200));
            if (records.isEmpty()) {
                continue;
            }
            try {
                producer.beginTransaction();
                Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                for (ConsumerRecord<byte[], byte[]> r : records) {
                    producer.send(new ProducerRecord<>(to, r.partition(), r.key(), r.value()));
                    offsets.put(new TopicPartition(from, r.partition()), new OffsetAndMetadata(r.offset() + 1));
                }
                producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
                if (random.nextInt(10) == 0) {
                    throw new KafkaException("aborted as drawn");
                }
            } catch (KafkaException e) {
                System.err.println("aborts: " + e);
                producer.abortTransaction(); // a producer that is fenced throws
                rewind();
                continue;
            }
            // Whether a commit that throws stands is not known: whoever comes next reads the group's offsets.
            producer.commitTransaction();
        }
    }

    /** Goes back to what is committed. */
    private void rewind() {
        Map<TopicPartition, OffsetAndMetadata> committed = consumer.committed(consumer.assignment());
        for (TopicPartition p : consumer.assignment()) {
            OffsetAndMetadata at = committed.get(p);
            if (at == null) {
                consumer.seekToBeginning(List.of(p));
            } else {
                consumer.seek(p, at.offset());
            }
        }
    }
}
