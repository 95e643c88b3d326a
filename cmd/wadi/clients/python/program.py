"""aiokafka as a program that takes requests on standard input and answers on
standard output, one JSON object a line; ../program_test.go describes them."""

import asyncio
import base64
import json
import sys
import traceback

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError, for_code

AT = {"bootstrap_servers": sys.argv[1], "client_id": sys.argv[2]}


def write(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def decode(text):
    return None if text is None else base64.b64decode(text)


def encode(data):
    return None if data is None else base64.b64encode(data).decode()


def expect(what, holds):
    if not holds:
        raise AssertionError("expected " + what)


def succeeded(responses):
    """Raises an answer's error: the admin client leaves them to its user."""
    for response in responses if isinstance(responses, list) else [responses]:
        fields = response.to_object()
        for name in ("topic_errors", "topic_error_codes", "topic_partition_errors", "resources"):
            for entry in fields.get(name) or ():
                code = entry["error_code"]
                if code:
                    raise for_code(code)(str(entry))
    return responses


class Admin:
    async def __aenter__(self):
        self.admin = AIOKafkaAdminClient(**AT)
        await self.admin.start()
        return self.admin

    async def __aexit__(self, *_):
        await self.admin.close()


async def create(r):
    async with Admin() as admin:
        succeeded(await admin.create_topics([NewTopic(r["topic"], r["partitions"], 1, topic_configs=r["configs"])]))
    return {}


async def list_topics(_):
    async with Admin() as admin:
        return {"topics": await admin.list_topics()}


async def partitions(r):
    async with Admin() as admin:
        return {"count": len((await admin.describe_topics([r["topic"]]))[0]["partitions"])}


async def remove(r):
    async with Admin() as admin:
        succeeded(await admin.delete_topics([r["topic"]]))
    return {}


async def produce(r):
    codec = None if r["codec"] == "none" else r["codec"]
    producer = AIOKafkaProducer(
        **AT, acks="all", enable_idempotence=True, compression_type=codec, linger_ms=5, max_batch_size=1 << 20,
    )
    await producer.start()
    try:
        sent = []
        for one in r["records"]:
            headers = [(key, decode(value)) for key, value in one["headers"]]
            sent.append(await producer.send(
                r["topic"], key=decode(one["key"]), value=decode(one["value"]), timestamp_ms=one["at"], headers=headers,
            ))
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return {}


async def read(r):
    topic, since, records = r["topic"], r["since"], []
    consumer = AIOKafkaConsumer(**AT, enable_auto_commit=False, auto_offset_reset="none", fetch_max_wait_ms=100)
    await consumer.start()
    try:
        count = (await partitions(r))["count"]
        places = [TopicPartition(topic, i) for i in range(count)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        if since < 0:
            begins = await consumer.beginning_offsets(places)
        else:
            found = await consumer.offsets_for_times({p: since for p in places})
            begins = {p: found[p].offset if found[p] else ends[p] for p in places}
        for p in places:
            consumer.seek(p, begins[p])
        left = {p for p in places if begins[p] < ends[p]}
        while left:
            for p, some in (await consumer.getmany(timeout_ms=500)).items():
                for m in some:
                    records.append({
                        "partition": m.partition, "offset": m.offset, "at": m.timestamp, "key": encode(m.key), "value": encode(m.value),
                        "headers": [[key, encode(value)] for key, value in m.headers],
                    })
                if some[-1].offset >= ends[p] - 1:
                    left.discard(p)
    finally:
        await consumer.stop()
    return {"records": records}


class Member(ConsumerRebalanceListener):
    """A member of a group: consumes, and commits what each poll gave."""

    def __init__(self, r):
        self.topic = r["topic"]
        self.consumer = AIOKafkaConsumer(
            **AT, group_id=r["group"], group_instance_id=r["instance"] or None, enable_auto_commit=False,
            auto_offset_reset="earliest", session_timeout_ms=r["session"], heartbeat_interval_ms=500, rebalance_timeout_ms=10000,
            fetch_max_wait_ms=100, partition_assignment_strategy=[StickyPartitionAssignor],
        )

    def on_partitions_revoked(self, revoked):
        if revoked:
            write({"event": "assigned", "partitions": []})

    def on_partitions_assigned(self, assigned):
        write({"event": "assigned", "partitions": sorted(p.partition for p in assigned)})

    async def start(self):
        self.consumer.subscribe([self.topic], listener=self)
        await self.consumer.start()
        self.leaving = False
        self.task = asyncio.create_task(self.run())

    async def run(self):
        try:
            while not self.leaving:
                batches = await self.consumer.getmany(timeout_ms=100)
                if batches:
                    await self.consumed(batches)
        except Exception as e:
            traceback.print_exc()
            write({"error": repr(e)})

    async def consumed(self, batches):
        ends = {p: some[-1].offset + 1 for p, some in batches.items()}
        for p, some in batches.items():
            write({"event": "read", "partition": p.partition, "first": some[0].offset, "last": some[-1].offset})
        try:
            await self.consumer.commit(ends)
        except (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError):
            return  # who has the partitions now reads from the last commit on
        except Exception as e:
            if type(e).__name__ != "IllegalStateError":  # the partitions were taken away meanwhile
                raise
            return
        for p, end in ends.items():
            write({"event": "committed", "partition": p.partition, "offset": end})

    async def leave(self):
        self.leaving = True
        await self.task
        await self.consumer.stop()


async def join(r):
    global member
    member = Member(r)
    await member.start()
    return {}


async def leave(_):
    await member.leave()
    return {}


async def config(admin, topic, name):
    (found,) = succeeded(await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: None})]))
    entries = found.to_object()["resources"][0]["config_entries"]
    return entries[0]["config_value"]


async def tour(r):
    """The admin calls. The topic doesn't exist before it, nor after; the group has commits."""
    topic, group, steps = r["topic"], r["group"], []
    async with Admin() as admin:
        cluster = await admin.describe_cluster()
        expect("%d brokers" % r["brokers"], len(cluster["brokers"]) == r["brokers"])
        steps.append("describe_cluster")
        succeeded(await admin.create_topics([NewTopic(topic, 2, 1, topic_configs={"retention.ms": "86400000"})]))
        expect("the topic", topic in await admin.list_topics())
        steps += ["create_topics", "list_topics"]
        expect("retention.ms", await config(admin, topic, "retention.ms") == "86400000")
        succeeded(await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": "2000000"})]))
        expect("max.message.bytes", await config(admin, topic, "max.message.bytes") == "2000000")
        expect("retention.ms as by default", await config(admin, topic, "retention.ms") == "604800000")
        steps += ["describe_configs", "alter_configs"]
        succeeded(await admin.create_partitions({topic: NewPartitions(4)}))
        expect("four partitions", len((await admin.describe_topics([topic]))[0]["partitions"]) == 4)
        steps += ["create_partitions", "describe_topics"]
        producer = AIOKafkaProducer(**AT)
        await producer.start()
        for i in range(10):
            await producer.send_and_wait(topic, b"v", partition=3, timestamp_ms=1000 + i)
        await producer.stop()
        place = TopicPartition(topic, 3)
        deleted = await admin.delete_records({place: RecordsToDelete(7)})
        expect("low watermark 7, not %r" % deleted, deleted[place] == 7)
        steps.append("delete_records")
        expect("the group", group in [name for name, *_ in await admin.list_consumer_groups()])
        (described,) = await admin.describe_consumer_groups([group])
        found = described.to_object()["groups"][0]
        expect("it is empty, not %r" % found, found["state"] == "Empty" and not found["members"])
        expect("its commits", len(await admin.list_consumer_group_offsets(group)) == 1)
        steps += ["list_consumer_groups", "describe_consumer_groups", "list_consumer_group_offsets"]
        succeeded(await admin.delete_topics([topic]))
        steps.append("delete_topics")
    return {"steps": steps}


HANDLERS = {
    "create": create, "list": list_topics, "partitions": partitions, "remove": remove, "produce": produce, "read": read,
    "tour": tour, "join": join, "leave": leave,
}


async def main():
    reader = asyncio.StreamReader(limit=64 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        request = json.loads(line)
        try:
            answer = await HANDLERS[request["do"]](request)
            write({**answer, "done": request["do"]})
        except Exception as e:
            traceback.print_exc()
            write({"error": repr(e)})


asyncio.run(main())
