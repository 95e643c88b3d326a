package io.wadi.clients;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The Java client as a program that takes requests on standard input and answers on standard
 * output, one JSON object a line; ../program_test.go describes them. It is compiled against each
 * version of the client that is tested, so it uses what all of them have.
 */
public final class Program {
    static final ObjectMapper JSON = new ObjectMapper();
    static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);

    private static String clientID;

    private final String address;
    private Member member;

    private Program(String address) {
        this.address = address;
    }

    public static void main(String[] args) throws Exception {
        clientID = args[1];
        Program program = new Program(args[0]);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8), 4 << 20);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonNode request = JSON.readTree(line);
            ObjectNode answer = JSON.createObjectNode();
            try {
                program.answer(request, answer);
                answer.put("done", request.get("do").asText());
            } catch (Exception e) {
                e.printStackTrace();
                answer.removeAll();
                answer.put("error", e.toString());
            }
            write(answer);
        }
        System.exit(0);
    }

    static synchronized void write(ObjectNode line) {
        OUT.println(line);
        OUT.flush();
    }

    /** What each client of this program is configured with. */
    static Properties config(String address) {
        Properties config = new Properties();
        config.put("bootstrap.servers", address);
        config.put("client.id", clientID);
        return config;
    }

    private void answer(JsonNode request, ObjectNode answer) throws Exception {
        String topic = request.path("topic").asText();
        switch (request.get("do").asText()) {
            case "create":
                Map<String, String> configs = new HashMap<>();
                request.get("configs").fields().forEachRemaining(e -> configs.put(e.getKey(), e.getValue().asText()));
                Tour.create(address, topic, request.get("partitions").asInt(), configs);
                break;
            case "list":
                ArrayNode topics = answer.putArray("topics");
                Tour.topics(address).forEach(topics::add);
                break;
            case "partitions":
                answer.put("count", Tour.partitions(address, topic));
                break;
            case "remove":
                Tour.remove(address, topic);
                break;
            case "tour":
                ArrayNode steps = answer.putArray("steps");
                new Tour(address, request.get("brokers").asInt(), topic, request.get("group").asText(), steps).run();
                break;
            case "produce":
                produce(topic, request.get("codec").asText(), request.get("records"));
                break;
            case "read":
                read(topic, request.get("since").asLong(), request.path("rack").asText(), answer.putArray("records"));
                break;
            case "join":
                member = new Member(address, request);
                member.start();
                break;
            case "leave":
                member.leave();
                member = null;
                break;
            default:
                throw new IllegalArgumentException(request.toString());
        }
    }

    private void produce(String topic, String codec, JsonNode records) throws Exception {
        Properties config = config(address);
        config.put("enable.idempotence", "true");
        config.put("acks", "all");
        config.put("compression.type", codec);
        config.put("linger.ms", "5");
        config.put("max.block.ms", "30000");
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (JsonNode r : records) {
                ProducerRecord<byte[], byte[]> record =
                        new ProducerRecord<>(topic, null, r.get("at").asLong(), bytes(r.get("key")), bytes(r.get("value")));
                for (JsonNode h : r.get("headers")) {
                    record.headers().add(h.get(0).asText(), bytes(h.get(1)));
                }
                sent.add(producer.send(record));
            }
            for (Future<RecordMetadata> one : sent) {
                one.get();
            }
        }
    }

    private void read(String topic, long since, String rack, ArrayNode out) {
        Properties config = config(address);
        config.put("enable.auto.commit", "false");
        config.put("auto.offset.reset", "none");
        config.put("fetch.max.wait.ms", "100");
        if (!rack.isEmpty()) {
            config.put("client.rack", rack);
        }
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = new ArrayList<>();
            Map<TopicPartition, Long> times = new HashMap<>();
            for (PartitionInfo p : consumer.partitionsFor(topic)) {
                partitions.add(new TopicPartition(topic, p.partition()));
                times.put(new TopicPartition(topic, p.partition()), since);
            }
            consumer.assign(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            if (since < 0) {
                consumer.seekToBeginning(partitions);
            } else {
                Map<TopicPartition, OffsetAndTimestamp> found = consumer.offsetsForTimes(times);
                for (TopicPartition p : partitions) {
                    OffsetAndTimestamp begin = found.get(p);
                    consumer.seek(p, begin == null ? ends.get(p) : begin.offset());
                }
            }
            while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
                for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(500))) {
                    ObjectNode record = out.addObject();
                    record.put("partition", r.partition());
                    record.put("offset", r.offset());
                    record.put("at", r.timestamp());
                    record.put("key", r.key());
                    record.put("value", r.value());
                    ArrayNode headers = record.putArray("headers");
                    for (Header h : r.headers()) {
                        ArrayNode pair = headers.addArray();
                        pair.add(h.key());
                        pair.add(h.value() == null ? null : Base64.getEncoder().encodeToString(h.value()));
                    }
                }
            }
        }
    }

    private static byte[] bytes(JsonNode text) {
        return text.isNull() ? null : Base64.getDecoder().decode(text.asText());
    }
}
