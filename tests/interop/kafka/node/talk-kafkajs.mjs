// kafkajs: writes `count` records, reads `count` in a group and commits, prints them.
import { Kafka, logLevel } from 'kafkajs'
import { register, types } from './codecs.mjs'

const [address, topic, group, codec, write, read] = process.argv.slice(2)
await register()
const kafka = new Kafka({ brokers: [address], logLevel: logLevel.ERROR })

const producer = kafka.producer({ idempotent: true })
await producer.connect()
const messages = Array.from({ length: Number(write) }, (_, i) => ({ key: `k${i}`, value: `${i}` }))
if (messages.length) {
  await producer.send({
    topic,
    acks: -1,
    compression: types[codec],
    messages
  })
}
await producer.disconnect()

const consumer = kafka.consumer({ groupId: group })
await consumer.connect()
await consumer.subscribe({ topic, fromBeginning: true })
const found = []
await new Promise((done, failed) => {
  consumer.on(consumer.events.CRASH, event => failed(event.payload.error))
  consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      if (found.length >= Number(read)) return
      found.push(message.value.toString())
      const next = (BigInt(message.offset) + 1n).toString()
      await consumer.commitOffsets([{ topic, partition, offset: next }])
      if (found.length === Number(read)) done()
    }
  })
})
await consumer.disconnect()
console.log(JSON.stringify(found))
