// An example: copy it, and change what stands in angle brackets. It holds no secret: SLACK_WEBHOOK_URL comes from the
// environment of whoever deploys, as do the tag and whether to deploy the services yet; the other secrets go into key
// vaults by hand.
using 'main.bicep'

param name = 'retl'
param platform = 'containerapps'
param tag = readEnvironmentVariable('TAG') // no default: it would be a way back that nobody meant
param deployServices = bool(readEnvironmentVariable('DEPLOY_SERVICES', 'false'))

param sqlAdminGroupName = '<Entra group that administers the database>'
param sqlAdminGroupId = '<its object id>'
param operatorsGroupId = '<object id of the group that uses retl>'

param settings = {
  all: {
    LOG_LEVEL: 'INFO'
  }
  extractor: {
    API_BASE_URL: 'https://<your events API>'
  }
  'sf-sync': {
    SF_LOGIN_URL: 'https://<your domain>.my.salesforce.com'
  }
}

param slackWebhookUrl = readEnvironmentVariable('SLACK_WEBHOOK_URL', '')

// Monday, 05:00 UTC.
param publishSchedule = '0 5 * * 1'
