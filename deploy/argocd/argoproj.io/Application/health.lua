-- Health of an Application for Argo CD: what it says of its own resources. Without this, an app of apps takes each of its
-- Applications for healthy at once, and its waves do not wait for each other.
-- Argo CD opens no string library for scripts of a ConfigMap.
if obj.metadata.deletionTimestamp ~= nil then
  return {status = "Progressing", message = "The application is being deleted"}
end
local status = obj.status or {}
if status.health == nil or status.health.status == nil then
  return {status = "Progressing", message = "Argo CD has not looked at the application yet"}
end
-- A new application has no resources yet, and is healthy for that: it counts when it has been synced.
if status.operationState == nil and (status.sync == nil or status.sync.status ~= "Synced") then
  return {status = "Progressing", message = "The application has not been synced yet"}
end
return {status = status.health.status, message = status.health.message or ""}
