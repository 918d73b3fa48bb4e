// The server of the state tables, which takes Entra tokens only, and the database. Tables, roles and users are not made
// here: deploy/sql/state has them, because a template cannot create a user in a database.

param name string
param location string

@description('Database SKU. The tables are small; a database that pauses itself never would, since every service looks at them twice a minute.')
param sku string

@description('Entra group whose members may do everything on the server: whoever runs deploy/sql/state.')
param adminGroupName string
param adminGroupId string

resource server 'Microsoft.Sql/servers@2021-11-01' = {
  name: name
  location: location
  properties: {
    administrators: {
      administratorType: 'ActiveDirectory'
      azureADOnlyAuthentication: true
      principalType: 'Group'
      login: adminGroupName
      sid: adminGroupId
      tenantId: tenant().tenantId
    }
    minimalTlsVersion: '1.2'
    publicNetworkAccess: 'Enabled'
  }
}

// 0.0.0.0 stands for "from within Azure", any customer's Azure: the services' addresses are not known beforehand. It lets
// packets in, not people: every login still needs a token that a user in the database stands for.
resource fromAzure 'Microsoft.Sql/servers/firewallRules@2021-11-01' = {
  parent: server
  name: 'AllowAllWindowsAzureIps'
  properties: {
    startIpAddress: '0.0.0.0'
    endIpAddress: '0.0.0.0'
  }
}

resource database 'Microsoft.Sql/servers/databases@2021-11-01' = {
  parent: server
  name: 'retl'
  location: location
  sku: {
    name: sku
  }
}

output serverName string = server.name
output stateUrl string = 'mssql+pyodbc://${server.properties.fullyQualifiedDomainName}/${database.name}'
