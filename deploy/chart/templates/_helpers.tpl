{{/* By what the pods are found: never changes, for a DaemonSet's selector can't. */}}
{{- define "netpol.selector" -}}
app.kubernetes.io/name: netpol-agent
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* What every object is labelled with. The manifests are applied without Helm, too: none names it. */}}
{{- define "netpol.labels" -}}
{{ include "netpol.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: netpol
{{- end }}

{{/* Those, and the ones that a Prometheus may select by. */}}
{{- define "netpol.monitoringLabels" -}}
{{ include "netpol.labels" . }}
{{- with .Values.monitoring.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "netpol.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "netpol.hubbleAddress" -}}
{{- if .Values.hubble.address -}}
{{ .Values.hubble.address }}
{{- else if .Values.hubble.tls.secretName -}}
$(NETPOL_HOST_IP)
{{- else -}}
127.0.0.1
{{- end -}}
{{- end -}}

{{/* Where the kubelet finds what listens on one address alone; it looks at the node's own unless told otherwise. */}}
{{- define "netpol.probeHost" -}}
{{- if not (regexMatch "^[0.:\\[\\]]*$" .Values.metrics.address) -}}
{{ .Values.metrics.address | trimAll "[]" | quote }}
{{- end }}
{{- end }}

{{- /* Not empty if the agent gets the node's folder of network namespaces. */ -}}
{{- define "netpol.netns" -}}
{{- if ne .Values.agent.observeAt "node" }}true{{ end -}}
{{- end }}

{{- /* Not empty if Hubble's API has certificates. */ -}}
{{- define "netpol.hubbleTls" -}}
{{- if and .Values.hubble.enabled .Values.hubble.tls.secretName }}true{{ end -}}
{{- end }}
