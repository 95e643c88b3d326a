// KafkaJS as a program that takes requests on standard input and answers on
// standard output, one JSON object a line; ../program_test.go describes them.
//
// It runs where its packages are: the test copies it beside node_modules.
'use strict'

const readline = require('readline')
const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel } = require('kafkajs')
const snappy = require('snappyjs')
const lz4 = require('lz4js')
const zstd = require('@bokuweb/zstd-wasm')

// KafkaJS has gzip; the others are the user's, as its documentation tells.
CompressionCodecs[CompressionTypes.Snappy] = () => ({
  compress: async encoder => Buffer.from(snappy.compress(encoder.buffer)),
  decompress: async buffer => unsnap(buffer),
})
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async encoder => Buffer.from(lz4.compress(encoder.buffer)),
  decompress: async buffer => Buffer.from(lz4.decompress(buffer)),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async encoder => Buffer.from(zstd.compress(encoder.buffer, 3)),
  decompress: async buffer => Buffer.from(zstd.decompress(buffer)),
})

const codecs = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}

// unsnap takes plain snappy and the framing of Java's snappy library.
function unsnap(buffer) {
  if (!buffer.subarray(0, 8).equals(Buffer.from('\x82SNAPPY\x00', 'latin1'))) {
    return Buffer.from(snappy.uncompress(buffer))
  }
  const parts = []
  for (let at = 16; at < buffer.length; ) {
    const size = buffer.readInt32BE(at)
    parts.push(Buffer.from(snappy.uncompress(buffer.subarray(at + 4, at + 4 + size))))
    at += 4 + size
  }
  return Buffer.concat(parts)
}

const kafka = new Kafka({ clientId: process.argv[3], brokers: [process.argv[2]], logLevel: logLevel.NOTHING, retry: { retries: 8, initialRetryTime: 50 } })
const write = line => process.stdout.write(JSON.stringify(line) + '\n')
const decode = text => (text === null ? null : Buffer.from(text, 'base64'))
const encode = buffer => (buffer === null || buffer === undefined ? null : buffer.toString('base64'))

async function withAdmin(work) {
  const admin = kafka.admin()
  await admin.connect()
  try {
    return await work(admin)
  } finally {
    await admin.disconnect()
  }
}

function expect(what, holds) {
  if (!holds) throw new Error('expected ' + what)
}

async function produce({ topic, codec, records }) {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  try {
    const messages = records.map(r => {
      const headers = {}
      for (const [key, value] of r.headers) {
        // Two headers of one name are an array, which only keeps neighbours together.
        const one = decode(value)
        headers[key] = key in headers ? [].concat(headers[key], [one]) : one
      }
      return { key: decode(r.key), value: decode(r.value), timestamp: String(r.at), headers }
    })
    await producer.send({ topic, acks: -1, compression: codecs[codec], messages })
  } finally {
    await producer.disconnect()
  }
  return {}
}

// read needs a group: KafkaJS has no consumer without one. It commits nothing.
async function read({ topic, since }) {
  const { begins, ends } = await withAdmin(async admin => ({
    begins: since < 0 ? await admin.fetchTopicOffsets(topic) : await admin.fetchTopicOffsetsByTimestamp(topic, since),
    ends: await admin.fetchTopicOffsets(topic),
  }))
  const left = new Map()
  for (const { partition, high, low } of ends) {
    const begin = begins.find(b => b.partition === partition)
    const from = since < 0 ? low : begin.offset
    if (Number(from) < Number(high)) left.set(partition, { from, high: Number(high) })
  }
  const records = []
  if (left.size === 0) return { records }
  const places = new Map(left)
  const consumer = kafka.consumer({ groupId: `read-${topic}-${process.pid}`, maxWaitTimeInMs: 100, maxBytes: 50 << 20, maxBytesPerPartition: 10 << 20 })
  await consumer.connect()
  try {
    await new Promise((resolve, reject) => {
      consumer.on(consumer.events.CRASH, e => reject(e.payload.error))
      const joined = consumer.on(consumer.events.GROUP_JOIN, () => {
        joined()
        for (const [partition, { from }] of places) consumer.seek({ topic, partition, offset: from })
      })
      consumer
        .subscribe({ topic, fromBeginning: true })
        .then(() =>
          consumer.run({
            autoCommit: false,
            eachMessage: async ({ partition, message: m }) => {
              const place = places.get(partition)
              if (!place || !left.has(partition) || Number(m.offset) < Number(place.from)) return
              const headers = []
              for (const [key, value] of Object.entries(m.headers || {})) {
                for (const one of Array.isArray(value) ? value : [value]) headers.push([key, encode(one)])
              }
              records.push({ partition, offset: Number(m.offset), at: Number(m.timestamp), key: encode(m.key), value: encode(m.value), headers })
              if (Number(m.offset) >= place.high - 1) left.delete(partition)
              if (left.size === 0) resolve()
            },
          })
        )
        .catch(reject)
    })
  } finally {
    await consumer.disconnect()
  }
  return { records }
}

let member

async function join({ topic, group, session }) {
  const consumer = kafka.consumer({ groupId: group, sessionTimeout: session, heartbeatInterval: 500, rebalanceTimeout: 10000, maxWaitTimeInMs: 100 })
  await consumer.connect()
  consumer.on(consumer.events.GROUP_JOIN, e => write({ event: 'assigned', partitions: e.payload.memberAssignment[topic] || [] }))
  consumer.on(consumer.events.REBALANCING, () => write({ event: 'assigned', partitions: [] }))
  consumer.on(consumer.events.CRASH, e => e.payload.restart || write({ error: String(e.payload.error) }))
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch, heartbeat, isRunning, isStale }) => {
      if (!isRunning() || isStale() || batch.isEmpty()) return
      const partition = batch.partition
      write({ event: 'read', partition, first: Number(batch.firstOffset()), last: Number(batch.lastOffset()) })
      const offset = Number(batch.lastOffset()) + 1
      await consumer.commitOffsets([{ topic, partition, offset: String(offset) }])
      write({ event: 'committed', partition, offset })
      await heartbeat()
    },
  })
  member = consumer
  return {}
}

// The admin calls. The topic doesn't exist before it, nor after; the group is
// empty, with commits.
async function tour({ topic, group, brokers }) {
  const steps = []
  await withAdmin(async admin => {
    const cluster = await admin.describeCluster()
    expect(`${brokers} brokers`, cluster.brokers.length === brokers && cluster.clusterId)
    steps.push('describeCluster')
    const made = { topic, numPartitions: 2, replicationFactor: 1, configEntries: [{ name: 'retention.ms', value: '86400000' }] }
    expect('a new topic', await admin.createTopics({ topics: [made], waitForLeaders: true }))
    expect('the same topic', !(await admin.createTopics({ topics: [made] })))
    expect('the topic in the list', (await admin.listTopics()).includes(topic))
    steps.push('createTopics', 'listTopics')
    const resource = { type: ConfigResourceTypes.TOPIC, name: topic }
    const config = async name => {
      const found = await admin.describeConfigs({ includeSynonyms: true, resources: [{ ...resource, configNames: [name] }] })
      return found.resources[0].configEntries[0].configValue
    }
    expect('retention.ms', (await config('retention.ms')) === '86400000')
    await admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries: [{ name: 'max.message.bytes', value: '2000000' }] }] })
    expect('max.message.bytes', (await config('max.message.bytes')) === '2000000')
    expect('retention.ms as by default', (await config('retention.ms')) === '604800000')
    steps.push('describeConfigs', 'alterConfigs')
    await admin.createPartitions({ topicPartitions: [{ topic, count: 4 }] })
    expect('four partitions', (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length === 4)
    steps.push('createPartitions', 'fetchTopicMetadata')
    const producer = kafka.producer()
    await producer.connect()
    const messages = Array.from({ length: 10 }, (_, i) => ({ partition: 3, value: 'v', timestamp: String(1000 + i) }))
    await producer.send({ topic, messages })
    await producer.disconnect()
    const ends = await admin.fetchTopicOffsets(topic)
    expect('offset 10', ends.find(e => e.partition === 3).high === '10')
    const times = await admin.fetchTopicOffsetsByTimestamp(topic, 1004)
    expect('offset 4', times.find(e => e.partition === 3).offset === '4')
    steps.push('fetchTopicOffsets', 'fetchTopicOffsetsByTimestamp')
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 3, offset: '7' }] })
    expect('offset 7', (await admin.fetchTopicOffsets(topic)).find(e => e.partition === 3).low === '7')
    steps.push('deleteTopicRecords')
    expect('the group', (await admin.listGroups()).groups.some(g => g.groupId === group))
    const described = (await admin.describeGroups([group])).groups[0]
    expect('it is empty', described.state === 'Empty' && described.members.length === 0)
    await admin.setOffsets({ groupId: group, topic, partitions: [{ partition: 1, offset: '17' }] })
    const committed = await admin.fetchOffsets({ groupId: group, topics: [topic] })
    expect('17', committed[0].partitions.find(p => p.partition === 1).offset === '17')
    steps.push('listGroups', 'describeGroups', 'setOffsets', 'fetchOffsets')
    await admin.deleteGroups([group])
    steps.push('deleteGroups')
    await admin.deleteTopics({ topics: [topic] })
    steps.push('deleteTopics')
  })
  return { steps }
}

const handlers = {
  create: ({ topic, partitions, configs }) =>
    withAdmin(async admin => {
      const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }))
      expect('a new topic', await admin.createTopics({ topics: [{ topic, numPartitions: partitions, replicationFactor: 1, configEntries }] }))
    }),
  list: () => withAdmin(async admin => ({ topics: await admin.listTopics() })),
  partitions: ({ topic }) => withAdmin(async admin => ({ count: (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length })),
  remove: ({ topic }) => withAdmin(admin => admin.deleteTopics({ topics: [topic] })),
  produce,
  read,
  tour,
  join,
  leave: () => member.disconnect(),
}

async function main() {
  await zstd.init()
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const request = JSON.parse(line)
    try {
      write({ ...(await handlers[request.do](request)), done: request.do })
    } catch (e) {
      console.error(e)
      write({ error: String(e) })
    }
  }
  process.exit(0)
}

main()
