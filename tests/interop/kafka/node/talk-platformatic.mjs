// @platformatic/kafka: writes `count` records, reads `count` in a group and commits.
import { Consumer, Producer, stringDeserializers, stringSerializers } from '@platformatic/kafka'

const [address, topic, group, codec, write, read] = process.argv.slice(2)
const common = { clientId: 'salon', bootstrapBrokers: [address] }

if (Number(write)) {
  const producer = new Producer({ ...common, serializers: stringSerializers, autocreateTopics: true })
  await producer.send({
    messages: Array.from({ length: Number(write) }, (_, i) => ({ topic, key: `k${i}`, value: `${i}` })),
    compression: codec
  })
  await producer.close()
}

const consumer = new Consumer({ ...common, groupId: group, deserializers: stringDeserializers })
const stream = await consumer.consume({
  topics: [topic],
  mode: 'committed',
  fallbackMode: 'earliest',
  autocommit: false,
  maxWaitTime: 500
})
const found = []
for await (const message of stream) {
  found.push(message.value)
  await message.commit()
  if (found.length === Number(read)) break
}
await consumer.close(true)
console.log(JSON.stringify(found))
