// The namespace with every topic, subscription and rule of deploy/servicebus/topology.json: the file that the emulators
// and the tests read, so that there is one topology.

param name string
param location string

@allowed(['Standard', 'Premium'])
param sku string

@description('How long a message waits, as ISO 8601. The topology says an hour, which suits an emulator; here a service that was down overnight must still find its messages.')
param messageTimeToLive string

var topology = loadJsonContent('../../servicebus/topology.json').UserConfig.Namespaces[0]

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: name
  location: location
  sku: {
    name: sku
    tier: sku
  }
  properties: {
    disableLocalAuth: true // identities only: there is no key that could leak
    minimumTlsVersion: '1.2'
  }
}

module topics 'topic.bicep' = [
  for topic in topology.Topics: {
    name: 'topic-${topic.Name}'
    params: {
      namespaceName: namespace.name
      topic: topic
      messageTimeToLive: messageTimeToLive
    }
  }
]

output name string = namespace.name
output hostName string = '${namespace.name}.servicebus.windows.net'
