// One service as a container app: no ingress, one container, secrets by reference, scaled on the length of its
// subscription.

param name string
param location string
param environmentId string
param image string
param registry string

@description('Resource id and client id of the service\'s own identity.')
param identityId string
param clientId string

@description('Name → value: settings that are no secrets.')
param settings object

@description('Name → name of the secret in the vault.')
param secrets object
param vaultUri string

@secure()
@description('Where alerts go besides the log; empty for nowhere.')
param slackWebhookUrl string

param cpu string
param memory string
param minReplicas int
param maxReplicas int

@description('Identity that reads the subscription\'s length; empty: always minReplicas.')
param scalerId string
param servicebusNamespace string
param topic string
param subscription string

var fromVault = [
  for secret in items(secrets): {
    name: secret.value
    keyVaultUrl: '${vaultUri}secrets/${secret.value}'
    identity: identityId
  }
]
var slack = empty(slackWebhookUrl)
  ? []
  : [
      {
        name: 'slack-webhook-url'
        value: slackWebhookUrl
      }
    ]
var plainEnv = [
  for setting in items(settings): {
    name: setting.key
    value: setting.value
  }
]
var secretEnv = [
  for secret in items(secrets): {
    name: secret.key
    secretRef: secret.value
  }
]
var slackEnv = empty(slackWebhookUrl)
  ? []
  : [
      {
        name: 'SLACK_WEBHOOK_URL'
        secretRef: 'slack-webhook-url'
      }
    ]

resource app 'Microsoft.App/containerApps@2025-01-01' = {
  name: name
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: union({ '${identityId}': {} }, empty(scalerId) ? {} : { '${scalerId}': {} })
  }
  properties: {
    environmentId: environmentId
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Single'
      maxInactiveRevisions: 5
      registries: [
        {
          server: registry
          identity: identityId
        }
      ]
      secrets: concat(fromVault, slack)
    }
    template: {
      terminationGracePeriodSeconds: 60 // STOP_GRACE_SEC, then time to hand back, settle and close
      containers: [
        {
          name: 'main'
          image: image
          env: concat(
            [
              {
                name: 'AZURE_CLIENT_ID' // which of the app's identities the service is
                value: clientId
              }
            ],
            plainEnv,
            secretEnv,
            slackEnv
          )
          resources: {
            cpu: json(cpu)
            memory: memory
          }
          probes: [
            {
              type: 'Startup'
              httpGet: {
                path: '/livez'
                port: 8080
              }
              periodSeconds: 10
              timeoutSeconds: 5
              failureThreshold: 10
            }
            {
              type: 'Liveness'
              httpGet: {
                path: '/livez'
                port: 8080
              }
              periodSeconds: 30
              timeoutSeconds: 5
              failureThreshold: 3
            }
            {
              type: 'Readiness'
              httpGet: {
                path: '/readyz'
                port: 8080
              }
              periodSeconds: 10
              timeoutSeconds: 5
              failureThreshold: 3
            }
          ]
        }
      ]
      scale: {
        minReplicas: minReplicas
        maxReplicas: maxReplicas
        rules: empty(scalerId)
          ? []
          : [
              {
                name: 'subscription'
                custom: {
                  type: 'azure-servicebus'
                  identity: scalerId
                  metadata: {
                    namespace: servicebusNamespace
                    topicName: topic
                    subscriptionName: subscription
                    messageCount: '5'
                  }
                }
              }
            ]
      }
    }
  }
}
