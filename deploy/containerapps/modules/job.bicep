// The command `retl` as a job: by hand, or at times (UTC) when a schedule is given.

param name string
param location string
param environmentId string
param image string
param registry string
param identityId string
param clientId string

@description('What follows `retl`.')
param arguments array

@description('Name → value: settings that are no secrets.')
param settings object

@description('Five fields of cron, in UTC; empty: started by hand.')
param schedule string
param timeoutSec int
param retries int

var plainEnv = [
  for setting in items(settings): {
    name: setting.key
    value: setting.value
  }
]

resource job 'Microsoft.App/jobs@2025-01-01' = {
  name: name
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    environmentId: environmentId
    workloadProfileName: 'Consumption'
    configuration: {
      triggerType: empty(schedule) ? 'Manual' : 'Schedule'
      manualTriggerConfig: empty(schedule)
        ? {
            parallelism: 1
            replicaCompletionCount: 1
          }
        : null
      scheduleTriggerConfig: empty(schedule)
        ? null
        : {
            cronExpression: schedule
            parallelism: 1
            replicaCompletionCount: 1
          }
      replicaTimeout: timeoutSec
      replicaRetryLimit: retries
      registries: [
        {
          server: registry
          identity: identityId
        }
      ]
    }
    template: {
      containers: [
        {
          name: 'main'
          image: image
          args: arguments
          env: concat(
            [
              {
                name: 'AZURE_CLIENT_ID'
                value: clientId
              }
            ],
            plainEnv
          )
          resources: {
            cpu: json('0.25')
            memory: '0.5Gi'
          }
        }
      ]
    }
  }
}
